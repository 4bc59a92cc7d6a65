import { extname } from 'node:path';
import { requireFolderOf } from '../output-place.js';
import { writeFileAtomically } from '@adakit/state/node';
import type { SharpConstructor } from 'sharp';
import { UsageError } from '../usage-error.js';

/** Pixels of a PNG for one of the SVG, so that it is sharp on screens of today. */
const DENSITY = 2;

/**
 * Says before any work is done whether a plot can be written.
 *
 * @throws UsageError for another ending than .svg and .png, for .png without the package sharp, and as
 * {@link requireFolderOf}
 */
export async function requirePlotFile(option: string, file: string): Promise<void> {
  const ending = extname(file).toLowerCase();
  if (ending === '.png') await loadSharp(option, file);
  else if (ending !== '.svg') throw new UsageError(`${option} ${file}: plots are .svg or .png files`);
  requireFolderOf(option, file);
}

/** Writes an SVG document as what the file's ending says, complete or not at all. @throws as {@link requirePlotFile} */
export async function writePlot(option: string, file: string, svg: string): Promise<void> {
  await requirePlotFile(option, file);
  const bytes = Buffer.from(svg);
  if (extname(file).toLowerCase() === '.svg') return writeFileAtomically(file, bytes);
  const sharp = await loadSharp(option, file);
  // SVG has 72 dots an inch.
  await writeFileAtomically(
    file,
    await sharp(bytes, { density: 72 * DENSITY })
      .png()
      .toBuffer(),
  );
}

async function loadSharp(option: string, file: string): Promise<SharpConstructor> {
  try {
    return (await import('sharp')).default;
  } catch (error) {
    throw new UsageError(
      `${option} ${file}: .png needs the package sharp, which is not installed: npm install sharp, or take .svg`,
      { cause: error },
    );
  }
}
