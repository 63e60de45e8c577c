import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Addon } from './addon.ts';

// Bootstrapping loader, replaced by the resolving one.
const require = createRequire(import.meta.url);
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const lib = path.join(process.env.LIBTORCH ?? path.join(root, '.peers/hf/lib/python3.11/site-packages/torch'), 'lib');
const opener = require(path.join(root, 'build/Release/opener.node')) as { open(path: string): string | null };
for (const name of ['libc10.so', 'libtorch_cpu.so']) {
  const reason = opener.open(path.join(lib, name));
  if (reason !== null) throw new Error(reason);
}

/** The loaded addon. */
export const addon = require(path.join(root, 'build/Release/blip2.node')) as Addon;
