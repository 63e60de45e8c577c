// Two sides in turns: A B, B A, A B, … so that whatever else the machine does hits both alike.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

/** Medians of both sides, the median of the rounds' ratios, its range, and how many rounds there were. */
export function summary(ours, theirs) {
  const ratios = ours.map((value, i) => value / theirs[i]);
  const range = [Math.min(...ratios), Math.max(...ratios)];
  return { ours: median(ours), theirs: median(theirs), ratio: median(ratios), range, rounds: ratios.length };
}

/** A command that answers in JSON lines. */
class Side {
  #child;
  #lines;
  #error = '';

  constructor({ command, env, cwd }) {
    this.started = process.hrtime.bigint();
    this.#child = spawn(command[0], command.slice(1), { env, cwd, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stderr.setEncoding('utf8').on('data', (text) => {
      this.#error = (this.#error + text).slice(-4000);
    });
    this.exited = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.stdin.on('error', () => {});
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** The next line that is JSON; anything else that a library prints is passed over. */
  async next() {
    while (true) {
      const { value, done } = await this.#lines.next();
      if (done)
        throw new Error(`${this.#child.spawnargs.slice(0, 2).join(' ')} ended early (exit ${await this.exited})\n${this.#error}`);
      if (value.startsWith('{')) return JSON.parse(value);
    }
  }

  ask(request) {
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    return this.next();
  }

  close() {
    this.#child.stdin.end();
    return this.exited;
  }
}

/**
 * Runs two commands to their first line of JSON, once each in every round; gives that line and the seconds since the start. With `warm`, a
 * first round fills the system's file cache for both and does not count.
 */
export async function startsInTurns(commands, rounds, onRound = () => {}, warm = true) {
  const results = [[], []];
  for (let round = warm ? -1 : 0; round < rounds; round++) {
    for (const i of round % 2 === 0 ? [0, 1] : [1, 0]) {
      const side = new Side(commands[i]);
      const answer = await side.next();
      const seconds = Number(process.hrtime.bigint() - side.started) / 1e9;
      await side.close();
      if (round >= 0) results[i].push({ ...answer, seconds });
    }
    onRound(round);
  }
  return results;
}

/**
 * Lets two processes prepare, checks by `agree` that they compute the same, warms both up, and has them run in turns.
 * With `once`, for work that takes long by itself, there is no warming up beyond what the check was, and a round does it once.
 * Gives the rates (work a second) of every round, by the wall's clock or, with `cpuSeconds`, by the processor's.
 */
export async function ratesInTurns(
  commands,
  { agree, rounds, roundSeconds, once = false, clock = 'seconds', onRound = () => {} },
) {
  const sides = [];
  try {
    for (const command of commands) sides.push(new Side(command));
    const facts = [];
    for (const side of sides) facts.push((await side.next()).facts);
    const difference = agree(...facts);
    if (difference !== '') throw new Error(`the two sides do not compute the same: ${difference}`);
    let slowest = once ? roundSeconds : 0;
    for (const side of once ? [] : sides) {
      let { seconds } = await side.ask({ iterations: 1 });
      const warm = Math.min(200, Math.round(roundSeconds / 2 / seconds));
      // A first step that is long by itself has warmed up what there is.
      if (warm > 0) seconds = (await side.ask({ iterations: warm })).seconds / warm;
      slowest = Math.max(slowest, seconds);
    }
    const iterations = Math.max(1, Math.round(roundSeconds / slowest));
    const rates = [[], []];
    for (let round = 0; round < rounds; round++) {
      for (const i of round % 2 === 0 ? [0, 1] : [1, 0]) {
        const answer = await sides[i].ask({ iterations });
        rates[i].push(answer.work / answer[clock]);
      }
      onRound(round);
    }
    return rates;
  } finally {
    await Promise.all(sides.map((side) => side.close()));
  }
}
