import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The files of a folder that this process has open, once what is just being closed is closed. Only Linux says; elsewhere none. */
export async function openFilesIn(folder: string): Promise<string[]> {
  let open = openNow(folder);
  for (let i = 0; i < 100 && open.length > 0; i++) {
    await sleep(10);
    open = openNow(folder);
  }
  return open;
}

function openNow(folder: string): string[] {
  const descriptors = '/proc/self/fd';
  if (!fs.existsSync(descriptors)) return [];
  const inside = fs.realpathSync(folder) + path.sep;
  return fs.readdirSync(descriptors).flatMap((name) => {
    try {
      const file = fs.readlinkSync(path.join(descriptors, name));
      return file.startsWith(inside) ? [file] : [];
    } catch {
      return []; // closed meanwhile
    }
  });
}
