/** Keyboard shortcuts: one listener, to which the parts of the page add what they can do while they are there. */
type Handlers = Record<string, (event: KeyboardEvent) => void>;

const SEQUENCE_MS = 1200;
const layers: Handlers[] = [];
let prefix = '';
let prefixAt = 0;

/** Adds handlers by `KeyboardEvent.key`, or `g x` for a sequence; the newest layer wins. Gives back the removal. */
export function shortcuts(handlers: Handlers): () => void {
  layers.push(handlers);
  return () => {
    const at = layers.indexOf(handlers);
    if (at >= 0) layers.splice(at, 1);
  };
}

export function isTyping(target: EventTarget | null): boolean {
  // A box that was just ticked has the focus, and takes no letters.
  if (target instanceof HTMLInputElement && target.type === 'checkbox') return false;
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
  );
}

export function onKeydown(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target))
    return;
  if (document.querySelector('dialog[open]')) return;
  // A button in focus keeps the keys that press it.
  const button = event.target instanceof HTMLElement && event.target.closest('button, a[href], summary');
  if (button && (event.key === 'Enter' || event.key === ' ')) return;
  const name =
    prefix !== '' && event.timeStamp - prefixAt < SEQUENCE_MS ? `${prefix} ${event.key}` : event.key;
  prefix = '';
  const handler = layers.findLast((layer) => name in layer)?.[name];
  if (handler) {
    event.preventDefault();
    handler(event);
  } else if (layers.some((layer) => Object.keys(layer).some((key) => key.startsWith(`${event.key} `)))) {
    prefix = event.key;
    prefixAt = event.timeStamp;
  }
}
