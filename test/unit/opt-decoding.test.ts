import { type OptConfig, parseOptConfig } from '../../src/models/opt/config.ts';
import { OptDecoding } from '../../src/models/opt/decode.ts';
import { OptForCausalLM } from '../../src/models/opt/model.ts';
import { building } from '../../src/nn/index.ts';
import { Generator, inferenceMode, memory, randint, scope, type Tensor, tensor } from '../../src/tensor/index.ts';

// B prompts, W continuations of each: whatever the cache does, logits must be those of the whole sequence run at once.

const SMALL = {
  vocab_size: 30,
  hidden_size: 16,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  ffn_dim: 24,
  max_position_embeddings: 40,
  init_std: 0.2,
};

function build(overrides: Record<string, unknown> = {}): { model: OptForCausalLM; config: OptConfig } {
  const config = parseOptConfig({ ...SMALL, ...overrides });
  const model = building({ generator: new Generator(1) }, () => new OptForCausalLM(config)).eval();
  return { model, config };
}

const close = (a: Tensor, b: Tensor): number => a.sub(b).abs().max().item();

const variants: [string, Record<string, unknown>][] = [
  ['pre-norm', {}],
  ['post-norm', { do_layer_norm_before: false }],
  ['with projections in and out', { word_embed_proj_dim: 8 }],
  ['with an output embedding of its own', { tie_word_embeddings: false }],
];

describe.each(variants)('%s', (_, overrides) => {
  test.each([
    [
      'no padding',
      [
        [1, 1, 1, 1],
        [1, 1, 1, 1],
      ],
    ],
    [
      'left padding',
      [
        [1, 1, 1, 1],
        [0, 0, 1, 1],
      ],
    ],
  ])('beams that change places, %s', (_name, maskRows) => {
    const { model } = build(overrides);
    const before = memory().tensors;
    inferenceMode(() =>
      scope(() => {
        const [B, P, W, steps] = [2, 4, 3, 4];
        const generator = new Generator(7);
        const prompt = randint(0, 30, [B, P], { generator });
        const padded = maskRows.flat().includes(0);
        const mask = tensor(maskRows, { dtype: 'int64' });
        const decoding = new OptDecoding(model, model.embed(prompt), padded ? mask : null);
        const full = (rows: Tensor, continuation: Tensor | null): Tensor => {
          const ids = continuation === null ? rows : catLast(rows, continuation);
          const rowMask = continuation === null ? mask : catLast(mask, continuation.mul(0).add(1));
          const hidden = model.forward(model.embed(ids), rowMask);
          return model.project(hidden).select(1, ids.size(1) - 1);
        };
        expect(close(decoding.prefill(W, steps), full(prompt, null))).toBeLessThan(1e-5);

        const history: number[][][] = Array.from({ length: B }, () => Array.from({ length: W }, () => []));
        for (let t = 0; t < steps; t++) {
          const parents = randint(0, W, [B, W], { generator });
          const tokens = randint(0, 30, [B, W], { generator });
          const logits = decoding.step(tokens, t === 2 ? null : parents);
          const chosen = (
            t === 2
              ? tensor(
                  [
                    [0, 1, 2],
                    [0, 1, 2],
                  ],
                  { dtype: 'int64' },
                )
              : parents
          ).toArray() as number[][];
          const next = tokens.toArray() as number[][];
          for (let b = 0; b < B; b++) {
            const old = history[b] as number[][];
            history[b] = (next[b] as number[]).map((token, w) => [
              ...(old[(chosen[b] as number[])[w] as number] as number[]),
              token,
            ]);
          }
          for (let w = 0; w < W; w++) {
            const continuation = tensor(
              history.map((rows) => rows[w] as number[]),
              { dtype: 'int64' },
            );
            expect(close(logits.select(1, w), full(prompt, continuation))).toBeLessThan(1e-5);
          }
        }
        decoding.dispose();
      }),
    );
    expect(memory().tensors).toBe(before);
    model.dispose();
  });
});

function catLast(a: Tensor, b: Tensor): Tensor {
  return a.pad([0, b.size(1)]).add(b.pad([a.size(1), 0]));
}

test('too long an input is a typed error that names the limit', () => {
  const { model } = build();
  expect(() => scope(() => model.forward(model.embed(randint(0, 30, [1, 41])), null))).toThrow(
    'expected at most 40 positions for inputsEmbeds but received 41',
  );
});
