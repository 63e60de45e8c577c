import { existsSync } from 'node:fs';
import path from 'node:path';
import { building, loadSafetensors, noGrad, saveSafetensors, scope, type VisionModel } from 'blip2';
import { concepts } from '../../emoji/concepts.ts';
import { SceneReader, towerConfig } from './reader.ts';

/** The committed weights: beside the sources, wherever what was compiled of them is. */
export const VISION_WEIGHTS = path.join(repository(import.meta.dirname), 'examples/weights/vision.safetensors');

function repository(folder: string): string {
  return existsSync(path.join(folder, 'package.json')) ? folder : repository(path.dirname(folder));
}

/** Writes a reader's weights in float16. */
export function saveReader(reader: SceneReader, file: string): void {
  noGrad(() =>
    scope(() => {
      const halves = [...reader.stateDict()].map(([name, tensor]) => [name, tensor.detach().to('float16')] as const);
      saveSafetensors(file, new Map(halves));
    }),
  );
}

/** A trained reader, in float32 and evaluation mode. */
export function loadReader(file = VISION_WEIGHTS, count = concepts.length): SceneReader {
  const reader = building({}, () => new SceneReader(towerConfig(), count));
  scope(() => reader.loadStateDict(loadSafetensors(file)));
  return reader.eval();
}

/** The tower of a trained reader alone, as the demo freezes it. */
export function loadTower(file = VISION_WEIGHTS): VisionModel {
  const { visionModel, ...heads } = loadReader(file);
  for (const head of [heads.patchHead, heads.conceptHead, heads.colourHead, heads.placeHead, heads.sizeHead]) head.dispose();
  return visionModel;
}
