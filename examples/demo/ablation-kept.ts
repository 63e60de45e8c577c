import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Report, Section } from '../report/section.ts';
import type { AblationRun } from './ablation-variants.ts';
import { type Ablation, ablations, type DemoOptions } from './options.ts';
import type { Language } from './questions.ts';

/** All that decides on the numbers of a run besides its variant. */
export function settingsOf(options: DemoOptions, { kind, folder }: Language): string {
  const { concepts, steps, stage2Steps, batchSize, rate, weightDecay, seed, pictures, validation, vision } = options;
  const digest = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');
  const weights = [vision, path.join(folder, 'model.safetensors')].map(digest);
  return JSON.stringify({
    ...{ kind, concepts, steps, stage2Steps, batchSize, rate, weightDecay, seed, pictures, validation },
    weights,
  });
}

/** What a run of an earlier ablation gave, if it had the same settings. */
export function keptRun(folder: string, settings: string): AblationRun | null {
  const file = path.join(folder, 'run.json');
  if (!existsSync(file)) return null;
  const kept = JSON.parse(readFileSync(file, 'utf8')) as { settings: string; run: AblationRun };
  return kept.settings === settings ? kept.run : null;
}

export async function keepRun(folder: string, settings: string, run: AblationRun): Promise<void> {
  await write(path.join(folder, 'run.json'), { settings, run });
}

/** Keeps what an ablation showed, for the demo's own report. */
export async function keepAblation(folder: string, name: Ablation, report: Report): Promise<void> {
  await write(fileOf(folder, name), report);
}

/** What the ablations showed that were run into this folder: tables and curves. */
export function keptAblations(folder: string): Section[] {
  const files = ablations.map((name) => fileOf(folder, name)).filter((file) => existsSync(file));
  return files.flatMap((file) => {
    const { title, summary, sections } = JSON.parse(readFileSync(file, 'utf8')) as Report;
    return [{ kind: 'text', title: `Ablation: ${title}`, note: summary } as const, ...sections];
  });
}

function fileOf(folder: string, name: Ablation): string {
  return path.join(folder, `ablation-${name}.json`);
}

async function write(file: string, value: object): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(`${file}.partial`, JSON.stringify(value));
  await rename(`${file}.partial`, file);
}
