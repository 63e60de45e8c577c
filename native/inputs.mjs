// What both builds (binding.gyp and CMakeLists.txt) have to know, asked for by name: `sources` (sources.txt, as paths from the root) and
// `version` (of the libtorch in $LIBTORCH, from the headers that are compiled against).
import { readFileSync } from 'node:fs';
import path from 'node:path';

const root = path.dirname(import.meta.dirname);
const libtorch = process.env.LIBTORCH;

const answers = {
  sources: () =>
    readFileSync(path.join(root, 'native/sources.txt'), 'utf8')
      .trim()
      .split('\n')
      .map((name) => `native/${name}`)
      .join('\n'),
  version: () => {
    if (!libtorch) throw new Error('set LIBTORCH to the folder of libtorch that has lib/ and include/');
    const header = readFileSync(path.join(libtorch, 'include/torch/headeronly/version.h'), 'utf8');
    return ['MAJOR', 'MINOR', 'PATCH']
      .map((part) => new RegExp(`define TORCH_VERSION_${part} (\\d+)`).exec(header)?.[1])
      .join('.');
  },
};
process.stdout.write(`${answers[process.argv[2]]()}\n`);
