import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openTorchFile, scope, TorchFileError } from '../../src/index.ts';
import { random } from '../support/random.ts';

const fixtures = path.join(import.meta.dirname, '../fixtures/torch');
const folder = fs.mkdtempSync(path.join(tmpdir(), 'blip2-torch-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

const WHOLE = [-1n, 0n, 1n, 5n, 255n, 2n ** 31n, 2n ** 53n, 2n ** 63n - 1n];

/** One change of the kind that damage, a bug or malice makes. */
function mutate(original: Buffer, below: (limit: number) => number): Buffer {
  const copy = Buffer.from(original);
  const at = below(copy.length);
  switch (below(8)) {
    case 0:
      copy[at] = copy.readUInt8(at) ^ (1 << below(8));
      return copy;
    case 1:
      copy[at] = below(256);
      return copy;
    case 2:
      return copy.subarray(0, at);
    case 3: // a stretch is gone
      return Buffer.concat([copy.subarray(0, at), copy.subarray(at + 1 + below(40))]);
    case 4: // a stretch is there twice
      return Buffer.concat([copy.subarray(0, Math.min(copy.length, at + 1 + below(100))), copy.subarray(at)]);
    case 5: // another size or place
      if (at + 8 <= copy.length) copy.writeBigInt64LE(WHOLE[below(WHOLE.length)] as bigint, at);
      return copy;
    case 6: // the pickle alone, where it matters most
      {
        const from = copy.indexOf(Buffer.of(0x80, 2));
        const place = from + below(Math.min(900, copy.length - from));
        copy[place] = below(2) ? below(256) : copy.readUInt8(place) ^ (1 << below(8));
      }
      return copy;
    default: // the end, where an archive's directory is
      copy[copy.length - 1 - below(Math.min(900, copy.length))] = below(256);
      return copy;
  }
}

test('a thousand mutated files: each is refused with a typed error or loads within its bounds', () => {
  const originals = [
    'every-dtype.pth',
    'views.pth',
    'nested.pth',
    'nested.protocol4.pth',
    'views.legacy.pth',
    'nested.legacy.pth',
  ];
  const contents = originals.map((name) => fs.readFileSync(path.join(fixtures, name)));
  const below = random(20230131);
  let refused = 0;
  let loaded = 0;
  for (let i = 0; i < 1000; i++) {
    const content = mutate(contents[i % contents.length] as Buffer, below);
    const file = path.join(folder, 'mutated.pth');
    fs.writeFileSync(file, content);
    scope(() => {
      try {
        const opened = openTorchFile(file);
        for (const name of opened.names) {
          const { shape, strides, dtype } = opened.info(name);
          const span = shape.includes(0) ? 0 : shape.reduce((sum, size, k) => sum + (size - 1) * (strides[k] as number), 1);
          expect(span).toBeLessThanOrEqual(content.length);
          const tensor = opened.get(name);
          expect(tensor.shape).toEqual(shape);
          // Reads the last element: what lay outside of the file would crash.
          if (span > 0 && !dtype.startsWith('complex')) shape.reduce((view, size) => view.select(0, size - 1), tensor).item();
        }
        opened.close();
        loaded++;
      } catch (error) {
        if (!(error instanceof TorchFileError)) throw error;
        expect(error.file).toBe(file);
        refused++;
      }
    });
  }
  expect(refused).toBeGreaterThan(300);
  expect(loaded).toBeGreaterThan(100);
});
