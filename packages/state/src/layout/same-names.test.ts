import { expect, it } from 'vitest';
import { deriveMappings } from './derive-mappings.js';

// PyTorch calls a tied tensor by its first name and its exporter by the last, which also moves it to another place.
it('parameters of the same names are pairs though one is called otherwise and the order differs', () => {
  const layer = (name: string, ...shape: number[]) => ({ name, shape });
  const rest = [layer('a.weight', 8, 8), layer('a.bias', 8), layer('b.weight', 8, 8), layer('b.bias', 8)];
  const mappings = deriveMappings([layer('embedding.weight', 13, 8), ...rest], [...rest, layer('out.weight', 13, 8)]);
  expect(mappings).toEqual([
    { from: 'embedding.weight', to: 'out.weight' },
    ...rest.map(({ name }) => ({ from: name, to: name })),
  ]);
});

it('parameters of the same names are pairs whatever their order', () => {
  const [a, b] = [
    { name: 'alpha', shape: [4] },
    { name: 'omega', shape: [4] },
  ];
  expect(deriveMappings([a, b], [b, a])).toEqual([
    { from: 'alpha', to: 'alpha' },
    { from: 'omega', to: 'omega' },
  ]);
});
