import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

// WCAG 2.1, section 1.4.3: text needs 4.5 : 1.
const CSS = readFileSync(new URL('./app.css', import.meta.url), 'utf8');

function tokens(theme: 0 | 1): Map<string, string> {
  const found = CSS.matchAll(/--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)/g);
  return new Map([...found].map((match) => [match[1] ?? '', match[2 + theme] ?? '']));
}

function luminance(color: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
    const c = parseInt(color.slice(at, at + 2), 16) / 255;
    return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [light = 0, dark = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
}

const PAIRS: [text: string, grounds: string[]][] = [
  ['text', ['bg', 'sunk', 'raised', 'hover', 'accent-soft', 'bad-soft', 'ok-soft']],
  ['muted', ['bg', 'sunk', 'raised', 'hover', 'accent-soft', 'bad-soft']],
  ['accent', ['bg', 'sunk', 'raised', 'accent-soft']],
  ['bad', ['bg', 'raised', 'bad-soft']],
  ['warn', ['bg', 'raised', 'hover']],
  ['ok', ['bg', 'sunk', 'ok-soft']],
  ['on-accent', ['accent']],
  ['code-field', ['raised']],
  ['code-string', ['raised']],
  ['code-number', ['raised', 'hover']],
];

describe.each([
  ['light', 0],
  ['dark', 1],
] as const)('contrast, %s', (_, theme) => {
  const colors = tokens(theme);
  test.each(PAIRS)('%s', (text, grounds) => {
    for (const ground of grounds) {
      expect(
        contrast(colors.get(text) ?? '', colors.get(ground) ?? ''),
        `${text} on ${ground}`,
      ).toBeGreaterThanOrEqual(4.5);
    }
  });
});
