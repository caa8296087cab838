import { expect, test } from 'vitest';
import { legible, sentence } from './legible';

test.each([
  ['plain', 'plain'],
  ['\u202eevil\u202c', '⟨U+202E⟩evil⟨U+202C⟩'],
  ['a\u001b[31mred\u0000', 'a⟨U+001B⟩[31mred⟨U+0000⟩'],
  ['pass\u200bword\ufeff', 'pass⟨U+200B⟩word⟨U+FEFF⟩'],
  ['two\u2028lines', 'two⟨U+2028⟩lines'],
  // What belongs to a text stays: lines, tabs, letters of any direction, joined emoji, flags.
  ['a\n\tb\r\n', 'a\n\tb\r\n'],
  ['שלום نامه\u200cای', 'שלום نامه\u200cای'],
  ['👩\u200d👧 🏴\u{e0067}\u{e007f}', '👩\u200d👧 🏴\u{e0067}\u{e007f}'],
])('%j is seen as %s', (text, seen) => expect(legible(text)).toBe(seen));

test.each([
  ['', ''],
  ['it is late', 'it is late.'],
  ['It is late.', 'It is late.'],
  ['is it?', 'is it?'],
])('%j as a sentence is %j', (text, is) => expect(sentence(text)).toBe(is));
