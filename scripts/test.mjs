// What `npm test` does once everything is built: Jest, style, types, the second build. Everything runs, whatever failed before it; the
// last line counts.
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { buildWithCmake, compile, root, show, tool } from './steps.mjs';

const checks = [
  ['style', () => show(process.execPath, ['scripts/lint.mjs'])],
  ['types of tests, examples and benchmarks', () => compile('tsconfig.test.json')],
  ['the build by cmake-js', buildWithCmake],
];

/** Runs it all, or with arguments only Jest, which gets them. Returns the exit status. */
export function test(args) {
  const total = { passed: 0, failed: 0 };
  for (const run of args.length > 0 ? [args] : runs()) {
    const { passed, failed } = runJest(run);
    total.passed += passed;
    total.failed += failed;
  }
  const results = [];
  for (const [what, check] of args.length === 0 ? checks : []) {
    console.log(`\n${what}`);
    results.push([what, check() === 0]);
  }
  console.log();
  for (const [what, passed] of results) {
    console.log(`${passed ? 'passed' : 'FAILED'}: ${what}`);
    total[passed ? 'passed' : 'failed'] += 1;
  }
  console.log(`${total.passed} passed, ${total.failed} failed`);
  return total.failed === 0 ? 0 : 1;
}

/** Leaves objects of every class behind, whose tensors are freed whenever the garbage collector comes by. */
const LITTERS = 'test/unit/wrong-kinds.test.ts';

// Leak tests count all tensors and all memory of their process, so each has a process of its own.
function runs() {
  const leaks = readdirSync(path.join(root, 'test/leak')).filter((name) => name.endsWith('.test.ts'));
  return [['--testPathIgnorePatterns', '/test/leak/', LITTERS], [LITTERS], ...leaks.map((name) => [`test/leak/${name}`])];
}

function runJest(args) {
  const report = path.join(root, 'build/jest.json');
  mkdirSync(path.dirname(report), { recursive: true });
  rmSync(report, { force: true });
  const flags = ['--expose-gc', '--experimental-vm-modules', '--disable-warning=ExperimentalWarning'];
  const status = show(process.execPath, [...flags, tool('jest/bin/jest.js'), '--json', '--outputFile', report, ...args], {
    // Jest prints the report too; its progress goes to stderr.
    stdio: ['inherit', 'ignore', 'inherit'],
  });
  try {
    const { numPassedTests, numFailedTests, numRuntimeErrorTestSuites } = JSON.parse(readFileSync(report, 'utf8'));
    const failed = numFailedTests + numRuntimeErrorTestSuites;
    // Jest may fail without a failed test, for one where a path matches none.
    return { passed: numPassedTests, failed: failed === 0 && status !== 0 ? 1 : failed };
  } catch {
    return { passed: 0, failed: 1 };
  }
}
