import { MediaQuery } from 'svelte/reactivity';

/** A phone: list and detail one at a time. */
export const narrow = new MediaQuery('max-width: 719px');
/** Follows the system's choice, for what is drawn on a canvas. */
export const dark = new MediaQuery('prefers-color-scheme: dark');
