import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { JsonLinesLog, ProgressLog, type StepRecord, TensorBoardLog } from '../../src/index.ts';
import { crc32c } from '../../src/train/logs/crc32c.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-logs-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

const record = (step: number): StepRecord => ({
  step,
  steps: 300,
  samples: 4 * step,
  losses: { loss: 4.5 - step / 100, itc: 1.25 },
  statistics: { temperature: 0.07 },
  learningRate: 1e-4,
  gradientNorm: 3,
  samplesPerSecond: 120.5,
  dataWait: 0.25,
  memory: 3 * 2 ** 29,
  secondsLeft: 4000,
});

/** An independent reader of protocol buffers: fields by number, each a number, bytes or a float's and double's value. */
function decode(bytes: Buffer): Map<number, (bigint | number | Buffer)[]> {
  const fields = new Map<number, (bigint | number | Buffer)[]>();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++] as number;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  const take = (length: number): Buffer => {
    at += length;
    return bytes.subarray(at - length, at);
  };
  const readers: Record<number, () => bigint | number | Buffer> = {
    0: varint,
    1: () => take(8).readDoubleLE(),
    2: () => take(Number(varint())),
    5: () => take(4).readFloatLE(),
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const value = (readers[tag & 7] as () => bigint | number | Buffer)();
    fields.set(tag >> 3, [...(fields.get(tag >> 3) ?? []), value]);
  }
  expect(at).toBe(bytes.length);
  return fields;
}

/** The CRC-32C of bytes, bit by bit, masked as TFRecord files have it. */
function masked(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  crc = ~crc >>> 0;
  return (((crc >>> 15) | ((crc << 17) >>> 0)) + 0xa282ead8) % 2 ** 32;
}

/** The events of the records of a file. */
function events(file: string): ReturnType<typeof decode>[] {
  const bytes = fs.readFileSync(file);
  const found: ReturnType<typeof decode>[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    expect(bytes.readUInt32LE(at + 8)).toBe(masked(bytes.subarray(at, at + 8)));
    const data = bytes.subarray(at + 12, at + 12 + length);
    expect(bytes.readUInt32LE(at + 12 + length)).toBe(masked(data));
    found.push(decode(data));
    at += 16 + length;
  }
  return found;
}

/** step → tag → value */
function scalars(all: readonly ReturnType<typeof decode>[]): Map<number, Record<string, number>> {
  const found = new Map<number, Record<string, number>>();
  for (const event of all) {
    const [summary] = event.get(5) ?? [];
    if (summary === undefined) continue;
    const entries = (decode(summary as Buffer).get(1) ?? []).map((value) => {
      const fields = decode(value as Buffer);
      return [String(fields.get(1)?.[0]), fields.get(2)?.[0] as number] as const;
    });
    found.set(Number(event.get(2)?.[0]), Object.fromEntries(entries));
  }
  return found;
}

test('CRC-32C has the check values of RFC 3720', () => {
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43);
});

test('TensorBoard event files hold what was logged', () => {
  const place = path.join(folder, 'tensorboard');
  const log = new TensorBoardLog(place);
  log.open(0);
  log.step(record(1));
  log.step(record(300));
  log.evaluation(300, { 'recall at 1': 0.5 });
  log.close();
  const [file, ...others] = fs.readdirSync(place);
  expect(others).toEqual([]);
  expect(file).toMatch(/^events\.out\.tfevents\.\d{10}\./);
  const all = events(path.join(place, file as string));
  expect(String(all[0]?.get(3)?.[0])).toBe('brain.Event:2');
  const now = Date.now() / 1000;
  for (const event of all) expect(Math.abs((event.get(1)?.[0] as number) - now)).toBeLessThan(60);
  const found = scalars(all.slice(0, -1));
  expect([...found.keys()]).toEqual([1, 300]);
  const { fround } = Math;
  expect(found.get(300)).toEqual({
    'losses/loss': 1.5,
    'losses/itc': 1.25,
    'statistics/temperature': fround(0.07),
    'training/learningRate': fround(1e-4),
    'training/gradientNorm': 3,
    'training/samplesPerSecond': 120.5,
    'training/dataWait': 0.25,
    'training/memory': 3 * 2 ** 29,
  });
  expect(scalars(all.slice(-1)).get(300)).toEqual({ 'evaluation/recall at 1': 0.5 });
});

test('a run that goes on writes another file, which tells TensorBoard from where on it counts', () => {
  const place = path.join(folder, 'going on');
  for (const step of [0, 200, 0]) {
    const log = new TensorBoardLog(place);
    log.open(step);
    log.step(record(step + 1));
    log.close();
  }
  expect(fs.readdirSync(place)).toHaveLength(3);
  for (const [ending, from] of [
    ['.v1', 201n],
    ['.v2', 1n], // killed before its first checkpoint, and begun anew
  ] as const) {
    const file = fs.readdirSync(place).find((name) => name.endsWith(ending)) as string;
    const [, start, first] = events(path.join(place, file));
    expect(start?.get(2)).toEqual([from]);
    expect(decode(start?.get(7)?.[0] as Buffer).get(1)).toEqual([1n]);
    expect(first?.get(2)).toEqual([from]);
  }
});

test('JSON Lines hold what was logged, and a run that goes on takes out what came after its checkpoint', () => {
  const file = path.join(folder, 'log.jsonl');
  const lines = (): Record<string, unknown>[] =>
    fs
      .readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  const log = new JsonLinesLog(file);
  log.open(0);
  for (const step of [1, 2, 3, 4]) log.step(record(step));
  log.evaluation(4, { recall: Number.NaN });
  log.message('a word');
  log.close();
  expect(lines()[1]).toMatchObject({ type: 'step', ...record(2) });
  expect(lines()[4]).toMatchObject({ type: 'evaluation', step: 4, metrics: { recall: null } });
  expect(lines()[5]).toMatchObject({ type: 'message', text: 'a word' });
  expect(Number.isNaN(Date.parse(lines()[0]?.time as string))).toBe(false);
  fs.appendFileSync(file, '{"type": "step", "st'); // killed while it wrote
  const again = new JsonLinesLog(file);
  again.open(3);
  again.step(record(4));
  again.close();
  expect(lines().map(({ step }) => step)).toEqual([1, 2, 3, 4]);
});

test('JSON Lines of many megabytes are cut off at their place, read piece by piece', () => {
  const file = path.join(folder, 'long.jsonl');
  const line = (step: number): string => `${JSON.stringify({ type: 'step', step, text: 'é'.repeat(step % 400) })}\n`;
  const upTo = (last: number): string => Array.from({ length: last }, (_, i) => line(i + 1)).join('');
  for (const [whole, step] of [
    [upTo(9000), 9000], // 4 MB
    [upTo(9000), 7777],
    [upTo(10), 0],
    [`${upTo(3000)}{"type": "step", "step": 3001`, 9000],
    [upTo(3000) + 'x'.repeat(2 ** 25), 3000], // no line of ours
  ] as const) {
    fs.writeFileSync(file, whole);
    const log = new JsonLinesLog(file);
    log.open(step);
    log.close();
    const expected = upTo(Math.min(step, whole.split('\n').length - 1));
    expect(fs.readFileSync(file, 'utf8') === expected).toBe(true);
  }
});

test('the progress of a run is one line a step', () => {
  const written: string[] = [];
  const stream = { isTTY: false, write: (text: string) => written.push(text) } as unknown as NodeJS.WriteStream;
  const log = new ProgressLog(300, stream);
  log.open(0);
  log.step(record(1));
  log.step(record(2)); // too soon for another
  log.step(record(300));
  log.evaluation(300, { recall: 0.123456 });
  log.close();
  expect(written).toEqual([
    '1/300 | loss 4.49 itc 1.25 | lr 1.00e-4 | 120.5 pictures/s | data 25 % | 1.50 GiB | 1 h 07 min left\n',
    '300/300 | loss 1.5 itc 1.25 | lr 1.00e-4 | 120.5 pictures/s | data 25 % | 1.50 GiB | 1 h 07 min left\n',
    'step 300: recall 0.1235\n',
  ]);
});
