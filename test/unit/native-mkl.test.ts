import { execFileSync } from 'node:child_process';
import path from 'node:path';

const index = path.resolve(import.meta.dirname, '../../dist/index.js');
const script = `
  const { Generator, linear, randn, scope, setThreads } = await import(${JSON.stringify(index)});
  setThreads(1);
  const generator = new Generator(0);
  const [x, w] = [randn([65, 127], { generator }), randn([33, 127], { generator })];
  const exact = linear(x.to('float64'), w.to('float64'));
  console.log(linear(x, w).to('float64').sub(exact).abs().max().item());`;

test.each(['off', 'fast'])('matrix products are right with BLIP2_MKL=%s', (value) => {
  const env = { ...process.env, BLIP2_MKL: value };
  const error = execFileSync(process.execPath, ['--input-type=module', '-e', script], { env, encoding: 'utf8' });
  expect(Number(error)).toBeGreaterThanOrEqual(0);
  expect(Number(error)).toBeLessThan(1e-4);
});
