import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { runServer } from 'verdaccio';

/** A registry on this machine, to publish to and to install from. */
export interface Registry {
  readonly url: string;
  /** Folder of what was published, by name. */
  readonly storage: string;
  /** For npm and what calls it: the registry, and a token, without which npm publishes nothing. */
  readonly env: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/**
 * Starts verdaccio on the loopback interface. It has what is published to it; packages of others it takes from the registry
 * that npm is configured with, and keeps none of them.
 *
 * @param folder for its configuration and what is published; an empty one
 */
export async function startRegistry(folder: string): Promise<Registry> {
  const { stdout } = await promisify(execFile)('npm', ['config', 'get', 'registry']);
  const ours = { access: '$all', publish: '$all' };
  const storage = join(folder, 'storage');
  const config = join(folder, 'verdaccio.yaml'); // JSON is YAML
  writeFileSync(
    config,
    JSON.stringify({
      storage,
      auth: { htpasswd: { file: join(folder, 'htpasswd'), max_users: -1 } },
      uplinks: { others: { url: stdout.trim(), cache: false } },
      packages: {
        '@adakit/*': ours,
        'create-adakit-optimizer': ours,
        'adakit-optimizer-*': ours,
        '@*/adakit-optimizer-*': ours,
        '**': { access: '$all', proxy: 'others' },
      },
      web: { enable: false },
      max_body_size: '100mb',
      log: { type: 'file', path: join(folder, 'verdaccio.log'), level: 'warn' },
    }),
  );
  const server = (await runServer(config)) as Server;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const userconfig = join(folder, 'npmrc');
  writeFileSync(userconfig, `registry=http://${host}/\n//${host}/:_authToken=anybody\n`);
  return {
    url: `http://${host}/`,
    storage,
    env: { npm_config_userconfig: userconfig, npm_config_registry: `http://${host}/` },
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}
