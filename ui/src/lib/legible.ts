// Control characters but for line breaks and tabs; and format characters, among them those that turn the direction of text.
const UNSEEN = /(?![\t\n\r])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
// Joiners, which scripts and emoji need, and the tags that some flags are made of.
const NEEDED = /^(?:\u200c|\u200d|[\u{e0020}-\u{e007f}])$/u;

/** Recorded text so that a reader sees what it is: what would not be seen, or would turn the text around, by its name. */
export function legible(text: string): string {
  return text.replace(UNSEEN, (char) => (NEEDED.test(char) ? char : `⟨${signName(char)}⟩`));
}

/** `U+202E`. */
export function signName(char: string): string {
  return `U+${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
}

/** With its full stop, so that another sentence can follow it. */
export const sentence = (text: string) => (text === '' || /[.!?…]$/.test(text) ? text : `${text}.`);
