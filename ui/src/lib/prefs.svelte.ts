/** What a reader likes, kept in this browser; what belongs to a link is in the address (view.svelte.ts). */
import type { Range } from './time';

export type Theme = 'system' | 'light' | 'dark';

interface Stored {
  theme: Theme;
  zone: string;
  railOpen: boolean;
  fieldsOpen: boolean;
  openFields: string[];
  /** The strip for newcomers was closed. */
  welcomed: boolean;
  /** The range last chosen; a first visit shows all there is. */
  range: Range | null;
}

const KEY = 'attestry';
const DEFAULTS: Stored = {
  theme: 'system',
  zone: 'local',
  railOpen: true,
  fieldsOpen: true,
  openFields: ['event_name', 'username', 'outcome', 'event_source'],
  welcomed: false,
  range: null,
};

function load(): Stored {
  try {
    return { ...DEFAULTS, ...(JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<Stored>) };
  } catch {
    return { ...DEFAULTS };
  }
}

class Prefs {
  #stored: Stored = $state(load());

  get theme() {
    return this.#stored.theme;
  }
  set theme(theme: Theme) {
    this.#save({ theme });
    this.applyTheme();
  }
  get zone() {
    return this.#stored.zone;
  }
  set zone(zone: string) {
    this.#save({ zone });
  }
  get railOpen() {
    return this.#stored.railOpen;
  }
  set railOpen(railOpen: boolean) {
    this.#save({ railOpen });
  }
  get fieldsOpen() {
    return this.#stored.fieldsOpen;
  }
  set fieldsOpen(fieldsOpen: boolean) {
    this.#save({ fieldsOpen });
  }
  get openFields() {
    return this.#stored.openFields;
  }
  toggleField(name: string) {
    const open = this.openFields;
    this.#save({ openFields: open.includes(name) ? open.filter((f) => f !== name) : [...open, name] });
  }
  get welcomed() {
    return this.#stored.welcomed;
  }
  set welcomed(welcomed: boolean) {
    this.#save({ welcomed });
  }
  get range() {
    return this.#stored.range;
  }
  set range(range: Range | null) {
    this.#save({ range });
  }

  applyTheme() {
    const { theme } = this;
    if (theme === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }

  #save(change: Partial<Stored>) {
    Object.assign(this.#stored, change);
    try {
      localStorage.setItem(KEY, JSON.stringify(this.#stored));
    } catch {
      // A browser that keeps nothing still works; it forgets.
    }
  }
}

export const prefs = new Prefs();
