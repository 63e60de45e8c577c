// The second stage as the rows about it run it: models, inputs, a training step. The same as peer/stage2_model.py and peer/stage2.py.
import path from 'node:path';
import {
  AdamW,
  autocast,
  Blip2ForGenerativePretraining,
  building,
  loadLanguageModel,
  loadSafetensors,
  loadTrainedParts,
  noGrad,
  parseGenerativePretrainingConfig,
  scope,
  stage2Loss,
} from 'blip2';

const inPrecision = (precision, body) => (precision === 'bfloat16' ? autocast({ dtype: precision }, body) : body());

/** Models and a batch; the language model in a precision. */
export function load(materials, llm, batch, precision) {
  const folder = path.join(materials, llm);
  const languageModel = loadLanguageModel(folder, { dtype: precision }).freeze().eval();
  const config = { language_hidden_size: llm === 'opt' ? 768 : 512, qformer_config: { encoder_hidden_size: 1408 } };
  const model = building({ dtype: 'float32' }, () => new Blip2ForGenerativePretraining(parseGenerativePretrainingConfig(config)));
  loadTrainedParts(model, folder);
  const inputs = loadSafetensors(path.join(materials, 'inputs.safetensors'));
  const rows = (name) =>
    inputs
      .get(name)
      .narrow(0, 0, batch)
      .toArray()
      .map((row) => row.map(Number).filter((id) => id >= 0));
  const [prompts, targets] = [rows(`${llm}.prompt`), rows(`${llm}.target`)];
  const texts = prompts.map((prompt, i) => ({ prompt, target: targets[i] }));
  const imageFeatures = inputs.get('features').narrow(0, 0, batch).clone();
  for (const tensor of inputs.values()) tensor.dispose();
  return { model, languageModel, batch: { imageFeatures, texts } };
}

/** The loss without dropout. */
export function fixedLoss({ model, languageModel, batch }, precision) {
  model.eval();
  return scope(() => noGrad(() => inPrecision(precision, () => stage2Loss(model, languageModel, batch)).loss.item()));
}

export function trainer({ model, languageModel, batch }, precision) {
  model.train();
  const parameters = model.parameters();
  const optimizer = new AdamW(
    [
      { parameters: parameters.filter(({ ndim }) => ndim >= 2), weightDecay: 0.05 },
      { parameters: parameters.filter(({ ndim }) => ndim < 2), weightDecay: 0 },
    ],
    { lr: 1e-5, betas: [0.9, 0.98] },
  );
  return () =>
    scope(() => {
      const { loss } = inPrecision(precision, () => stage2Loss(model, languageModel, batch));
      loss.backward();
      optimizer.step();
      optimizer.zeroGrad();
      return loss.item();
    });
}
