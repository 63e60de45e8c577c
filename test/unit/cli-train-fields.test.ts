import { jest } from '@jest/globals';
import { Command } from 'commander';
import { addTrain } from '../../src/cli/train.ts';

/** What `train stage2 … --show-recipe` prints. */
async function shown(...flags: string[]): Promise<Record<string, unknown>> {
  let text = '';
  const write = jest.spyOn(process.stdout, 'write').mockImplementation((piece) => {
    text += String(piece);
    return true;
  });
  try {
    const program = new Command().exitOverride();
    addTrain(program);
    const args = ['train', 'stage2', '--vision', 'eva-vit-g', '--show-recipe', ...flags];
    await program.parseAsync(args, { from: 'user' });
  } finally {
    write.mockRestore();
  }
  return JSON.parse(text) as Record<string, unknown>;
}

test('fields that a recipe has with T5 alone have flags, too', async () => {
  const t5 = await shown('--language-model', 'flan-t5-xl', '--text.split.min-prefix', '2', '--text.split.max-prefix', '5');
  expect(t5).toMatchObject({ text: { split: { minPrefix: 2, maxPrefix: 5, minSuffix: 1 } } });
  expect(await shown('--language-model', 'flan-t5-xl', '--text.split', 'null')).toMatchObject({ text: { split: null } });
  const opt = shown('--language-model', 'opt-2.7b', '--text.split.min-prefix', '2');
  await expect(opt).rejects.toMatchObject({ name: 'ArgumentError', argument: 'recipe.text.split' });
});
