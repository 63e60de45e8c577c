import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { packageRoot } from '../../src/native/locate.ts';

// In a process of its own, whose malloc holds nothing else. A tensor between those that are freed and the heap's end keeps malloc from giving it back.
const SCRIPT = `
const { empty, ones, scope, keep } = await import(process.argv[1] + '/index.js');
const { trimMemory } = await import(process.argv[1] + '/tensor/device.js');
empty([30 << 18]).dispose(); // from now on blocks of less than 30 MiB are of the heap
const held = Array.from({ length: 300 }, () => ones([1 << 18]));
const last = ones([1 << 14]);
for (const tensor of held) tensor.dispose();
const before = process.memoryUsage.rss();
trimMemory();
console.log(JSON.stringify([before, process.memoryUsage.rss(), last.sum().item()].map((n) => n / 2 ** 20)));
`;

test('the memory of freed tensors goes back to the system where malloc has kept it', () => {
  const args = ['--input-type=module', '-e', SCRIPT, path.join(packageRoot, 'dist')];
  const [before = 0, after = 0] = JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as number[];
  const { glibcVersionRuntime } = (process.report.getReport() as { header: { glibcVersionRuntime?: string } }).header;
  if (glibcVersionRuntime === undefined) expect(after).toBeGreaterThan(0);
  else expect(before - after).toBeGreaterThan(150);
});
