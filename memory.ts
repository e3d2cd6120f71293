/**
 * Memory that does not wait for a collection: V8 lets tens of megabytes of buffers gather before it looks. What is given back
 * is gone for everybody, so only who has it alone may do so.
 */

/** Frees the memory of octets that nobody has any longer; whoever had them nevertheless would find none. Part of a buffer stays. */
export function giveBack({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}

const handedOver = new WeakSet<ArrayBufferLike>();

/** Says that whoever has copied these octets, or is done with them, has them alone and may call `usedUp`. */
export function handOver(octets: Uint8Array): Uint8Array {
  handedOver.add(octets.buffer);
  return octets;
}

/** Frees octets that were handed over; others stay, since somebody else may have them. */
export function usedUp(octets: Uint8Array): void {
  if (handedOver.delete(octets.buffer)) giveBack(octets);
}

export type Buffers = {
  take(): Buffer;
  /** For whoever takes one next. */
  put(buffer: Buffer): void;
};

/** Buffers of `bytes` that are used again; at most `idle` of them rest. */
export function openBuffers(bytes: number, idle: number): Buffers {
  const resting: Buffer[] = [];
  return {
    take: () => resting.pop() ?? Buffer.allocUnsafeSlow(bytes),
    put: (buffer) => {
      if (resting.length < idle) resting.push(buffer);
      else giveBack(buffer);
    },
  };
}
