import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ClipVisionModel } from '../../src/models/vision/clip/model.ts';
import { inferenceMode, loadSafetensors, saveSafetensors, scope, type Tensor, zeros } from '../../src/tensor/index.ts';
import { expectClose } from '../closeness.ts';

// Golden: scripts/oracle/clip_goldens.py, Hugging Face's CLIPVisionModel with 4 blocks, of which BLIP-2 runs 3.

const folder = path.join(import.meta.dirname, '../fixtures/hf/clip');
const io = loadSafetensors(path.join(folder, 'io.safetensors'));
const golden = (name: string): Tensor => io.get(name) as Tensor;

function expectGoldenFeatures(model: ClipVisionModel): void {
  inferenceMode(() =>
    scope(() => {
      const output = model.forward(golden('pixel_values'), { hiddenStates: true });
      expectClose(output.lastHiddenState, golden('features'));
      expect(output.hiddenStates).toHaveLength(4);
      expectClose(output.hiddenStates?.[0] as Tensor, golden('first'));
    }),
  );
}

test('features of the second last block', () => {
  const model = ClipVisionModel.fromPretrained(folder);
  expect(model.encoder.layers).toHaveLength(3);
  expectGoldenFeatures(model);
});

test('a larger picture, its positions interpolated', () => {
  const model = ClipVisionModel.fromPretrained(folder);
  inferenceMode(() =>
    scope(() => {
      const { lastHiddenState } = model.forward(golden('big_pixel_values'), { interpolatePosEncoding: true });
      expectClose(lastHiddenState, golden('big_features'));
    }),
  );
});

test("a whole CLIP's file, under the names that the hub has", () => {
  const whole = fs.mkdtempSync(path.join(os.tmpdir(), 'blip2-clip-'));
  try {
    const vision = JSON.parse(fs.readFileSync(path.join(folder, 'config.json'), 'utf8'));
    fs.writeFileSync(path.join(whole, 'config.json'), JSON.stringify({ model_type: 'clip', vision_config: vision }));
    const weights = [...loadSafetensors(path.join(folder, 'model.safetensors'))];
    const renamed = new Map(weights.map(([name, value]) => [`vision_model.${name}`, value]));
    for (const extra of ['text_model.embeddings.position_ids', 'visual_projection.weight', 'logit_scale'])
      renamed.set(extra, zeros([1]));
    saveSafetensors(path.join(whole, 'model.safetensors'), renamed);
    expectGoldenFeatures(ClipVisionModel.fromPretrained(whole));
  } finally {
    fs.rmSync(whole, { recursive: true });
  }
});
