/** What is held until it is whole, in one piece of memory: a peer may cut it into as many pieces as it likes, empty ones too. */

export type Gathered = {
  /** Copies the octets. */
  add(piece: Uint8Array): void;
  /** Octets so far. */
  size(): number;
  /** All of it; begins anew. */
  take(): Buffer;
};

const firstBytes = 256;

/** Of at most twice the memory of what has come; its user knows how much may. */
export function openGathered(): Gathered {
  let memory: Buffer = Buffer.alloc(0);
  let size = 0;
  return {
    add: (piece) => {
      const needed = size + piece.length;
      if (needed > memory.length) {
        const larger = Buffer.allocUnsafeSlow(Math.max(firstBytes, needed, memory.length * 2));
        larger.set(memory.subarray(0, size));
        memory = larger;
      }
      memory.set(piece, size);
      size = needed;
    },
    size: () => size,
    take: () => {
      const whole = memory.subarray(0, size);
      memory = Buffer.alloc(0);
      size = 0;
      return whole;
    },
  };
}
