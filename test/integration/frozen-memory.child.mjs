// KIND: what a language model holds between forward and backward, frozen and not. Prints JSON, in bytes.
import {
  building,
  Generator,
  OptForCausalLM,
  ones,
  parseOptConfig,
  parseT5Config,
  randn,
  scope,
  setThreads,
  T5ForConditionalGeneration,
} from '../../dist/index.js';
import { languageKind } from '../../dist/models/blip2/language/kinds.js';

const [, , kind] = process.argv;
// B texts of L tokens, widths D and F, H heads, N layers.
const [B, L, D, F, H, N] = [16, 64, 256, 1024, 4, 6];
const BYTES = 4;
setThreads(1);

// The exact gelu's backward needs what came in, so that what goes out is the next linear layer's alone.
const opt = { hidden_size: D, ffn_dim: F, num_hidden_layers: N, num_attention_heads: H, dropout: 0, activation_function: 'gelu' };
const t5 = { d_model: D, d_kv: D / H, d_ff: F, num_layers: N, num_heads: H, dropout_rate: 0, feed_forward_proj: 'gated-gelu' };
const model = building({ generator: new Generator(1) }, () =>
  kind === 'opt'
    ? new OptForCausalLM(parseOptConfig({ ...opt, vocab_size: 100, max_position_embeddings: L }))
    : new T5ForConditionalGeneration(parseT5Config({ ...t5, vocab_size: 100 })),
);
const language = languageKind(kind).language(model);

/** Bytes that a pass leaves behind for its backward, the result with it; gradients of weights, where there are any, are let go. */
function measure() {
  return scope(() => {
    const embedded = randn([B, L, D], { generator: new Generator(2) }).requiresGrad_();
    const decoderInputIds = kind === 'opt' ? null : ones([B, 1], { dtype: 'int64' });
    gc();
    const before = process.memoryUsage.rss();
    const { hidden } = language.pass({
      embedded,
      attentionMask: null,
      labels: null,
      decoderInputIds,
      decoderAttentionMask: null,
    });
    gc();
    const held = process.memoryUsage.rss() - before;
    hidden.sum().backward();
    const gradients = model.parameters().filter(({ grad }) => grad !== null).length;
    const reached = embedded.grad.abs().sum().item() > 0;
    for (const parameter of model.parameters()) parameter.grad = null;
    return { held, gradients, reached };
  });
}

model.freeze();
measure(); // whatever a first pass alone takes
const frozen = measure();
model.unfreeze();
measure();
const trained = measure();
const rows = B * L * BYTES;
// Of each layer what its linear layers were given and nothing else needs: the two norms' outputs, and the last activation's.
const inputs = N * rows * (2 * D + F);
// What gradients of the layers' inputs need: of each norm what it was given, of attention queries, keys, values, output and sums, of the activation what it
// was given; and the last norm's input and output.
const needed = N * (rows * (2 * D + 4 * D + F) + rows * (H + 4)) + 2 * rows * D;
console.log(JSON.stringify({ frozen, trained, inputs, needed }));
