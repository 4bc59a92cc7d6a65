import { createReadStream } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import type { Manifest, PublishedPackage, Tarball } from './packages.js';

/** A registry of packed packages, for package managers on this machine. */
export interface Registry {
  /** For `@adakit:registry`. */
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Serves tarballs as an npm registry does, so that they are installed by name and their dependencies on each other are
 * looked up as users' are.
 *
 * @param directory where the tarballs are
 */
export async function serveRegistry(
  packages: readonly PublishedPackage[],
  tarballs: readonly Tarball[],
  directory: string,
): Promise<Registry> {
  const manifests = new Map(packages.map(({ manifest }) => [manifest.name, manifest]));
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? '/').slice(1);
    const packed = tarballs.find(({ name, shasum }) => path === name || path === shasum);
    const manifest = packed && manifests.get(packed.name);
    if (packed === undefined || manifest === undefined) {
      response.writeHead(404).end();
    } else if (path === packed.shasum) {
      createReadStream(join(directory, packed.filename)).pipe(response);
    } else {
      // Every run packs the same versions anew: nothing of an earlier one may be taken from a cache.
      response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' });
      response.end(JSON.stringify(listing(manifest, packed, addressOf(server))));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: addressOf(server),
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

function addressOf(server: Server): string {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the registry does not listen on a port');
  return `http://127.0.0.1:${address.port}/`;
}

/** What a registry says of a package with one version. */
function listing(manifest: Manifest, { name, version, shasum, integrity }: Tarball, url: string): object {
  return {
    name,
    'dist-tags': { latest: version },
    versions: { [version]: { ...manifest, dist: { tarball: `${url}${shasum}`, shasum, integrity } } },
  };
}
