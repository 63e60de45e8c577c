// Goldens: scripts/oracle/photos.py.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { ImageProcessor, loadImage, loadSafetensors, type Tensor } from '../../src/index.ts';

const folder = path.resolve('test/fixtures/photos');
const photos = fs.readdirSync(folder).filter((file) => /\.(png|jpg)$/.test(file));

/** Reads tensors of a compressed file. */
function goldens(name: string): Map<string, Tensor> {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-photos-'));
  const file = path.join(directory, `${name}.safetensors`);
  fs.writeFileSync(file, gunzipSync(fs.readFileSync(path.join(folder, `${name}.safetensors.gz`))));
  const tensors = loadSafetensors(file);
  fs.rmSync(directory, { recursive: true });
  return tensors;
}

/** The share of equal values, and the largest difference. */
function compare(ours: Tensor, theirs: Tensor): { equal: number; worst: number } {
  expect(ours.shape).toEqual(theirs.shape);
  const [a, b] = [ours.data() as Uint8Array, theirs.data() as Uint8Array];
  let equal = 0;
  let worst = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs((a[i] as number) - (b[i] as number));
    if (difference === 0) equal++;
    worst = Math.max(worst, difference);
  }
  return { equal: equal / a.length, worst };
}

test('there are five photographs', () => expect(photos).toHaveLength(5));

describe.each(photos)('%s', (photo) => {
  const golden = goldens(path.parse(photo).name);

  test.each([224, 364])("resized to %i is Pillow's bicubic", async (side) => {
    const processor = new ImageProcessor({ size: { height: side, width: side } });
    const resized = processor.resize(await loadImage(path.join(folder, photo)));
    const { equal, worst } = compare(resized.contiguous(), golden.get(String(side)) as Tensor);
    expect(equal).toBeGreaterThanOrEqual(0.995);
    expect(worst).toBeLessThanOrEqual(2);
  });

  test("processed is Hugging Face's, exactly", async () => {
    const processor = new ImageProcessor({ size: { height: 40, width: 56 } });
    const pixelValues = await processor.preprocess(path.join(folder, photo));
    expect(pixelValues.shape).toEqual([1, 3, 40, 56]);
    expect(pixelValues.dtype).toBe('float32');
    const difference = pixelValues.select(0, 0).sub(golden.get('processed') as Tensor);
    expect(difference.abs().max().item()).toBe(0);
  });
});

describe('every kind of picture is read as Pillow reads it', () => {
  const golden = loadSafetensors(path.join(folder, 'kinds.safetensors'));

  test.each([...golden.keys()])('%s', async (name) => {
    const image = await loadImage(path.join(folder, 'kinds', name));
    const { equal, worst } = compare(image.contiguous(), golden.get(name) as Tensor);
    expect({ equal, worst }).toEqual({ equal: 1, worst: 0 });
  });
});
