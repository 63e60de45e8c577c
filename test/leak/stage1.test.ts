import {
  AdamW,
  Blip2ForPretraining,
  building,
  decayGroups,
  Generator,
  memory,
  parsePretrainingConfig,
  randint,
  randn,
  scope,
  setThreads,
  stage1Loss,
} from '../../src/index.ts';
import { collected, growth } from '../support/resident.ts';

setThreads(1); // models this small only wait for each other's threads

const STEPS = 300;

test('three hundred steps of the first stage leave memory as it was', async () => {
  const qformer = { vocab_size: 200, hidden_size: 64, num_hidden_layers: 2, num_attention_heads: 4, intermediate_size: 128 };
  const config = parsePretrainingConfig({ qformer_config: { ...qformer, encoder_hidden_size: 48 }, num_query_tokens: 8 });
  const model = building({ generator: new Generator(1) }, () => new Blip2ForPretraining(config));
  const optimizer = new AdamW(decayGroups(model.namedParameters(), { weightDecay: 0.05 }), { lr: 1e-4 });
  const generator = new Generator(2);
  const step = (index: number): void =>
    scope(() => {
      const batch = 4 + (index % 3); // shapes that change must not stay behind either
      const { loss } = stage1Loss(
        model,
        {
          imageFeatures: randn([batch, 17, 48], { generator }),
          inputIds: randint(1, 199, [batch, 12], { generator }),
          lengths: Array.from({ length: batch }, (_, i) => 4 + ((i + index) % 9)),
        },
        { generator },
      );
      loss.backward();
      optimizer.step();
      optimizer.zeroGrad();
    });
  const live: string[] = [];
  const resident: number[] = [];
  for (let i = 0; i < STEPS; i++) {
    step(i);
    live.push(JSON.stringify(memory()));
    if (i % 10 === 9) {
      await collected();
      resident.push(process.memoryUsage.rss());
    }
  }
  // Parameters and their moving averages: all are there after the first step.
  expect(memory().tensors).toBe(3 * model.parameters().length);
  expect(new Set(live).size).toBe(1);
  expect(growth(resident)).toBeLessThan(4);
});
