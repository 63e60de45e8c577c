// What the rows are and what their peers are, below the tables in RESULTS.md.

export const notes = `## What the rows are

The peer's optimizer is always \`torch.optim.AdamW(fused=True)\`, ours \`AdamW\` with the same settings, and each training step ends with the loss as a number. Before
a row runs, the two sides are checked to compute the same, as said below; where they do not, the row fails. Where the time goes is in [README.md](README.md).

- **Small operators.** Nanoseconds a call, the least of many short rounds, against PyTorch called from Python. Outside scopes ours counts the garbage collector's work, too.
- **Demo model** has the shape of \`examples/captioner/model.ts\` for 32 concepts, but dropout 0.1, and pictures of 64 × 64; **OPT-125m size** is a ViT-B/16, the base
  Q-Former and OPT-125m's shape; weights are drawn. The peer is \`Blip2ForConditionalGeneration\` of transformers, for the **base Q-Former** over 257 × 1408
  features its \`Blip2QFormerModel\`. Checked: parameters, and the loss without dropout to 1e-5.
- **Captions and answers.** Float32, from pixel values to ids, by five beams, against \`generate\` of transformers with its cache. Captions have at most 20 new tokens, one
  picture at a time or eight together. Zero-shot VQA, eight pictures together: questions of 6 to 13 tokens, padded on the left; length penalty −1, 1 to 10 new tokens.
  Checked before the clock runs, by the same two processes: the ids of every row of the batch (one at a time: of the first 8 pictures, 2 at OPT-125m's size), all equal, padding
  included. Rates count the tokens of the sequences that are given out.
- **Two workers.** The same eight pictures and questions in one call of \`Blip2\` with \`workers: 2\`, each a thread with the model over the same mapped file, of half of the threads. Ours
  begins with bytes of pixels of the model's size (no file is decoded), and ends with text; the peer is given the pixel values that its own processor makes of the same bytes, and
  the questions' ids, and ends with ids. Checked by the same two processes: ids (ours by the model alone, before) and all texts, equal. The rows beside them are one model with all threads.
- **Pictures** go from a JPEG file to a normalised tensor on one core, against Pillow with NumPy (checked: the sum of the values); **WebDataset** from tar files to batches with
  random crops and flips, against webdataset, Pillow and torchvision (checked: the mean).
- **Cold start** runs from the start of the process to the caption of a JPEG file, the demo model's files in the system's cache; **peak RSS** is that process's. Checked: the
  caption.
- **Stage 1.** Batch 32, pictures of 257 × 1408 (with the tower 257 × 768), captions of 8 to 20 tokens, 12 layers of width 768, against LAVIS's own \`Blip2Qformer.forward\`
  with backward. Checked: losses without dropout, with the same negatives on both sides.
- **Stage 2.** Batch 32, the base Q-Former with 32 queries over cached features of 257 × 1408, captions of 6 to 16 tokens; OPT learns all of them, T5 the second part of
  each, the first being its prompt. The peer is transformers' \`Blip2ForConditionalGeneration\`: in the vision tower's place stand the cached features and the LayerNorm that is
  trained, and the language model takes no gradients (\`requires_grad_(False)\`) and is in evaluation mode, so that backward passes through it to the queries and makes none
  for its weights; ours is frozen alike. In fp32 all is float32; in bf16 both sides keep the language model in bfloat16, and train the rest in float32 under autocast. Checked:
  trained parameters, the loss without dropout in float32 to 1e-5, and in the row's precision to 1 %.
- **Peak memory above start** is the highest RSS of two training steps, less what the process has once models and inputs are there: gradients, AdamW's moments and all that a step
  makes, without the weights.
- **Full size** is blip2-opt-2.7b's shapes with random weights in bfloat16, in eight files in the system's cache; both sides lay the weights over the files' pages. Time to load; time
  of the second caption of 20 tokens by five beams (the first reads the pages); the highest RSS above the start of loading, over loading and both captions, against the
  weights' own 2 bytes a parameter instead of a peer. Checked: parameters, and the best beam's score to 1 %, as in bfloat16 two ways of summing part in the third digit, and with them the
  ids.
- **Hard negatives** are drawn for 256 pictures and 256 texts from similarities that are there, against LAVIS's loop. Checked: the mean similarity of what is drawn.
`;
