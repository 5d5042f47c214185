// Random numbers that a seed settles, the same in every browser.

/** Uniform numbers in [0, 1) from a seed: mulberry32, whose whole state is one word. */
export function uniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let word = Math.imul(state ^ (state >>> 15), state | 1);
    word = (word + Math.imul(word ^ (word >>> 7), word | 61)) ^ word;
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A function that gives an array of standard normal numbers, by the method of Box and Muller. */
export function normal(seed) {
  const next = uniform(seed);
  return (length) => {
    const drawn = new Float32Array(length);
    for (let i = 0; i < length; i += 2) {
      const radius = Math.sqrt(-2 * Math.log(1 - next()));
      const angle = 2 * Math.PI * next();
      drawn[i] = radius * Math.cos(angle);
      if (i + 1 < length) drawn[i + 1] = radius * Math.sin(angle);
    }
    return drawn;
  };
}
