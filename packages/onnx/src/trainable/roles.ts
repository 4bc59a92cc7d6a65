import type { OperatorTable } from '../entry/operator.js';
import { DATA, role, type Role } from '../entry/role.js';
import type { Node } from '../graph/node.js';

/** What a node does with its input `index`: as the entry of its operator says, or data where a gradient passes. */
export function roleOf(node: Node, index: number, operators: OperatorTable): Role {
  const operator = operators.get(node.key);
  const roles = operator?.roles;
  if (roles !== undefined) return roles[Math.min(index, roles.length - 1)];
  return typeof operator?.gradient === 'function' ? DATA : role('aside', `no gradient passes ${node.op}`);
}
