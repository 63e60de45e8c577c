// The cost of a call: operators so small that the way from the language to the kernel and back is nearly all of it. micro.py is the
// same in Python. Prints one JSON line: nanoseconds a call (of the chain: all 20 operators), the best of many short rounds.
//   node bench/micro.mjs [--threads 2] [--rounds 400]
import { parseArgs } from 'node:util';
import { ones, scope, setThreads } from 'blip2';

const { values: options } = parseArgs({
  options: { threads: { type: 'string', default: '2' }, rounds: { type: 'string', default: '400' } },
});
setThreads(Number(options.threads));
const CALLS = 2000;
const BODY = 20; // operators a scope: about what a small layer has

const a = ones([8]);
const b = ones([8]);
const m = ones([4, 6]);
const w = ones([6, 6]);

/** What a small layer is made of: 20 operators on a few elements. */
function chain() {
  let x = m.matmul(w).add(b.select(0, 0)); // 3
  x = x.mul(0.5).relu(); // 2
  x = x.view(2, 2, 6).transpose(0, 1).reshape(4, 6); // 3
  const mean = x.mean(-1, true); // 1
  x = x.sub(mean).mul(x).add(1e-5).sqrt(); // 4
  x = x.softmax(-1).matmul(w); // 2
  x = x.unsqueeze(0).expand(2, 4, 6).sum(0); // 3
  return x.exp().narrow(1, 0, 3); // 2
}

const inScopes = (operator) => (calls) => {
  for (let i = 0; i < calls; i += BODY) {
    scope(() => {
      for (let j = 0; j < BODY; j++) operator();
    });
  }
};

/** Nanoseconds a call: the least of many rounds. */
async function best(round, calls, rounds = Number(options.rounds)) {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < rounds; i++) {
    const start = process.hrtime.bigint();
    await round(calls);
    least = Math.min(least, Number(process.hrtime.bigint() - start) / calls);
  }
  return least;
}

/**
 * Outside of scopes the garbage collector frees what was made, when the event loop turns. A round is long enough for it to have come by
 * several times, so that its work is part of the time.
 */
async function outside(calls) {
  for (let i = 0; i < calls; i += CALLS) {
    for (let j = 0; j < CALLS; j++) a.add(b);
    await new Promise(setImmediate);
  }
}

const add = await best(
  inScopes(() => a.add(b)),
  CALLS,
);
const view = await best(
  inScopes(() => m.view(3, 8)),
  CALLS,
);
const mixed = await best((calls) => {
  for (let i = 0; i < calls; i++) scope(chain);
}, CALLS / BODY);
const collected = await best(outside, 50 * CALLS, Math.max(10, Number(options.rounds) / 10));
console.log(
  JSON.stringify({
    'add in scope': add,
    'add outside': collected,
    'view in scope': view,
    'chain of 20 mixed small ops': mixed,
  }),
);
