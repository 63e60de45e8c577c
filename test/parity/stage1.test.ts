import path from 'node:path';
import {
  AdamW,
  clearGradients,
  decayGroups,
  loadSafetensors,
  type Stage1Options,
  scope,
  setThreads,
  stage1Loss,
  type Tensor,
  tensor,
} from '../../src/index.ts';
import { expectClose, expectGradientClose } from '../closeness.ts';
import { batchOf, buildGolden, type GoldenConfig, golden, lavisTensors, readJson } from '../support/stage1.ts';

setThreads(1); // models this small only wait for each other's threads

// Goldens: LAVIS's first stage, frozen picture features to the four losses and the gradient of every parameter.

describe.each(['stage1-plain', 'stage1-image-ids'])('%s', (name) => {
  const folder = golden(name);
  const config = readJson<GoldenConfig>(folder, 'config.json');
  const io = loadSafetensors(path.join(folder, 'batch.safetensors'));
  const value = (key: string): Tensor => io.get(key) as Tensor;
  const model = buildGolden(config, path.join(folder, 'weights.safetensors'));
  const batch = batchOf(value('image_embeds'), value('input_ids'), io.get('image_id'));
  const negatives = { images: value('neg_image_index'), texts: value('neg_text_index') };

  /** The gradients of one objective, or of all. */
  function gradients(options: Stage1Options): Map<string, Tensor | null> {
    scope(() => stage1Loss(model, batch, { negatives, ...options }).loss.backward());
    const found = new Map([...model.namedParameters()].map(([key, { grad }]) => [key, grad] as const));
    clearGradients(model.parameters());
    return found;
  }

  test.each(['own', 'both'] as const)('losses, with the gradient of %s side', (contrastGradient) => {
    scope(() => {
      const { loss, itc, itm, itg, statistics } = stage1Loss(model, batch, { negatives, contrastGradient });
      expectClose(loss, value('loss'));
      expectClose(itc as Tensor, value('loss_itc'));
      expectClose(itm as Tensor, value('loss_itm'));
      expectClose(itg as Tensor, value('loss_itg'));
      expect(statistics.withoutNegatives?.item()).toBe(0);
    });
  });

  test('every gradient, where it flows through both sides of the contrast', () => {
    const expected = lavisTensors(path.join(folder, 'gradients.safetensors'));
    const found = gradients({ contrastGradient: 'both' });
    expect([...found.keys()].sort()).toEqual([...expected.keys()].sort());
    for (const [key, gradient] of expected) expectGradientClose(found.get(key) as Tensor, gradient);
  });

  test('the two gradients of the contrast differ, and those of the other objectives do not', () => {
    const own = gradients({ contrastGradient: 'own', weights: { itm: 0, itg: 0 } });
    const both = gradients({ contrastGradient: 'both', weights: { itm: 0, itg: 0 } });
    expectGradientClose(own.get('temp') as Tensor, both.get('temp') as Tensor);
    const text = own.get('text_projection.weight') as Tensor;
    const whole = both.get('text_projection.weight') as Tensor;
    expect(text.sub(whole).norm().item()).toBeGreaterThan(0.05 * whole.norm().item());
    // Matching and generation know no such difference.
    const rest = (mode: 'own' | 'both') => gradients({ contrastGradient: mode, weights: { itc: 0 } });
    const [a, b] = [rest('own'), rest('both')];
    for (const [key, gradient] of a) {
      if (gradient === null) expect(b.get(key)).toBeNull();
      else expectGradientClose(gradient, b.get(key) as Tensor, 1e-6);
    }
  });

  test('objectives alone are the parts of the whole', () => {
    const whole = gradients({});
    const parts = [
      { itm: 0, itg: 0 },
      { itc: 0, itg: 0 },
      { itc: 0, itm: 0 },
    ].map((weights) => gradients({ weights }));
    scope(() => {
      for (const [key, gradient] of whole) {
        const sum = parts.flatMap((part) => part.get(key) ?? []).reduce((a, b) => a.add(b));
        expectGradientClose(sum, gradient as Tensor);
      }
    });
  });
});

interface Trajectory {
  config: GoldenConfig & { steps: number; batches: number; betas: [number, number]; eps: number; weight_decay: number };
  log: Record<string, number[]> & { neg_text_index: number[][]; neg_image_index: number[][] };
}

test('thirty steps of LAVIS', () => {
  const folder = golden('stage1-trajectory');
  const { config, log } = readJson<Trajectory>(folder, 'trajectory.json');
  const model = buildGolden(config, path.join(folder, 'weights.safetensors'));
  const batches = loadSafetensors(path.join(folder, 'batches.safetensors'));
  const groups = decayGroups(model.namedParameters(), { weightDecay: config.weight_decay });
  const optimizer = new AdamW(groups, { betas: config.betas, eps: config.eps });
  for (let i = 0; i < config.steps; i++) {
    scope(() => {
      const of = (name: string): Tensor => (batches.get(name) as Tensor).select(0, i % config.batches);
      const rows = (name: 'neg_text_index' | 'neg_image_index'): Tensor => tensor(log[name][i] as number[], { dtype: 'int64' });
      const negatives = { texts: rows('neg_text_index'), images: rows('neg_image_index') };
      const losses = stage1Loss(model, batchOf(of('image_embeds'), of('input_ids')), { negatives });
      for (const [mine, theirs] of [
        ['loss', 'loss'],
        ['itc', 'loss_itc'],
        ['itm', 'loss_itm'],
        ['itg', 'loss_itg'],
      ] as const) {
        expect(Math.abs((losses[mine] as Tensor).item() - (log[theirs]?.[i] as number))).toBeLessThanOrEqual(1e-4);
      }
      losses.loss.backward();
      for (const group of optimizer.groups) group.lr = log.lr?.[i] as number;
      optimizer.step();
      optimizer.zeroGrad();
    });
  }
  const last = lavisTensors(path.join(folder, 'final_weights.safetensors'));
  for (const [name, parameter] of model.namedParameters()) expectClose(parameter, last.get(name) as Tensor, 1e-3);
});
