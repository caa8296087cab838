/** One short sentence at the edge of the page, read out by a screen reader, gone after a while. */
class Notice {
  text = $state('');
  #timer: ReturnType<typeof setTimeout> | undefined;

  say(text: string): void {
    this.text = text;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (this.text = ''), 2500);
  }
}

export const notice = new Notice();
