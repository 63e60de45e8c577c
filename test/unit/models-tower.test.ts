import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  ArgumentError,
  Blip2ForImageTextRetrieval,
  ClipVisionModel,
  FileError,
  inferenceMode,
  loadSafetensors,
  loadVisionTower,
  parseClipVisionConfig,
  parseVisionConfig,
  readVisionTowerConfig,
  StateDictError,
  saveSafetensors,
  scope,
  type Tensor,
  type VisionTowerConfig,
} from '../../src/index.ts';
import { expectClose } from '../closeness.ts';

const fixtures = path.join(import.meta.dirname, '../fixtures');
const at = (name: string): string => path.join(fixtures, name);
const towers = loadSafetensors(at('lavis/towers.safetensors'));
const shape = { hidden_size: 16, num_attention_heads: 2, patch_size: 7 };
const eva = (size: number): VisionTowerConfig => ({
  architecture: 'eva',
  config: parseVisionConfig({ ...shape, intermediate_size: 40, image_size: size, num_hidden_layers: 2 }),
});
const clip = (size: number): VisionTowerConfig => ({
  architecture: 'clip',
  config: parseClipVisionConfig({ ...shape, intermediate_size: 64, image_size: size, num_hidden_layers: 3 }),
});

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(tmpdir(), 'blip2-tower-'));
});
afterEach(() => fs.rmSync(folder, { recursive: true }));

test.each(['eva', 'clip'] as const)('%s from its own file, with features as LAVIS has them', (kind) => {
  for (const size of [21, 28]) {
    const tower = loadVisionTower((kind === 'eva' ? eva : clip)(size), at(`lavis/${kind}.pth`));
    expect(tower.training).toBe(false);
    inferenceMode(() =>
      scope(() =>
        expectClose(
          tower.features(towers.get(`${kind}.pixels.${size}`) as Tensor),
          towers.get(`${kind}.features.${size}`) as Tensor,
        ),
      ),
    );
  }
});

test('a last LayerNorm that the file has not does nothing', () => {
  const tower = loadVisionTower(eva(21), at('lavis/eva.pth'), { dtype: 'bfloat16' });
  const norm = [...tower.namedParameters()].filter(([name]) => name.startsWith('post_layernorm.'));
  expect(norm.map(([name, value]) => [name, value.dtype, [...new Set(value.float().toArray() as number[])]])).toEqual([
    ['post_layernorm.weight', 'bfloat16', [1]],
    ['post_layernorm.bias', 'bfloat16', [0]],
  ]);
});

test("Hugging Face's CLIP folder, whose shape it says itself", () => {
  const folderOfClip = at('hf/clip');
  const tower = loadVisionTower(readVisionTowerConfig(folderOfClip), folderOfClip);
  const other = ClipVisionModel.fromPretrained(folderOfClip);
  expect(tower.stateDict().size).toBe(other.stateDict().size);
  for (const [name, value] of other.stateDict()) expect(tower.stateDict().get(name)?.equal(value)).toBe(true);
});

test("the tower of Hugging Face's BLIP-2 folder, and alone in a file", () => {
  const folderOfBlip2 = at('hf/itm');
  const shapeOfBlip2 = readVisionTowerConfig(folderOfBlip2);
  const tower = loadVisionTower(shapeOfBlip2, folderOfBlip2);
  const { visionModel } = Blip2ForImageTextRetrieval.fromPretrained(folderOfBlip2);
  for (const [name, value] of visionModel.stateDict()) expect(tower.stateDict().get(name)?.equal(value)).toBe(true);
  const file = path.join(folder, 'tower.safetensors');
  saveSafetensors(file, tower.stateDict());
  const alone = loadVisionTower(shapeOfBlip2, file);
  for (const [name, value] of tower.stateDict()) expect(alone.stateDict().get(name)?.equal(value)).toBe(true);
});

test('what does not fit is refused', () => {
  expect(() => loadVisionTower(clip(21), at('lavis/eva.pth'))).toThrow(StateDictError);
  expect(() => loadVisionTower(eva(21), at('lavis/stage1.pth'))).toThrow(/missing \(\d+\)/);
  const wide = { ...shape, hidden_size: 32, intermediate_size: 40, image_size: 21, num_hidden_layers: 2 };
  expect(() => loadVisionTower({ architecture: 'eva', config: parseVisionConfig(wide) }, at('lavis/eva.pth'))).toThrow(
    StateDictError,
  );
  expect(() => loadVisionTower(eva(21), path.join(folder, 'none.pth'))).toThrow(FileError);
  expect(() => readVisionTowerConfig(folder)).toThrow(FileError);
  fs.writeFileSync(path.join(folder, 'config.json'), '{"model_type": "bert"}');
  expect(() => readVisionTowerConfig(folder)).toThrow(/config\.json: expected clip, .* for model_type but received "bert"/);
  expect(() => readVisionTowerConfig(folder)).not.toThrow(ArgumentError);
});
