const COUNT = new Intl.NumberFormat('en-US');

export const count = (n: number) => COUNT.format(n);

/** `12,345 events`, `1 event`. */
export const events = (n: number) => `${count(n)} ${n === 1 ? 'event' : 'events'}`;

/** `999`, `12.3k`, `4.6M`: for narrow places that say the whole number elsewhere. */
export function short(n: number): string {
  if (n < 1000) return String(n);
  if (n < 999_500) return `${(n / 1000).toFixed(n < 9950 ? 1 : 0)}k`;
  return `${(n / 1_000_000).toFixed(n < 9_950_000 ? 1 : 0)}M`;
}

export function bytes(n: number): string {
  if (n < 1024) return `${n} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = n / 1024;
  let unit = 0;
  while (value >= 1023.5 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit] ?? ''}`;
}
