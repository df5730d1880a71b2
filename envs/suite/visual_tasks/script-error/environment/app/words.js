export function plural(count, word) {
  return `${count} ${word}s`;
}
