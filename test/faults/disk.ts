/** A small disk of its own: an ext4 in a file, so that it can be filled, or lose its power, without harm to the machine. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

export type Disk = {
  readonly path: string;
  /** Power cut: nothing that is not on the disk by now gets there (EXT4_IOC_SHUTDOWN without a log flush). */
  cut(): void;
  /** The file system has found an error in itself and takes no more writes. */
  refuse(): void;
  /** The machine comes up again: the file system replays its journal. */
  restore(): void;
  /** Takes space, all but so many mebibytes; what it took is given back by the function that comes back. */
  fill(leaveMib: number): () => void;
  remove(): void;
  [Symbol.dispose](): void;
};

/** Whether this machine can mount a file; under REQUIRE_PEERS it has to. */
export function disks(): { readonly available: boolean; readonly reason: string } {
  try {
    makeDisk(16).remove();
    return { available: true, reason: "" };
  } catch (thrown) {
    if (process.env.REQUIRE_PEERS) throw thrown;
    return { available: false, reason: "loop devices need root and mkfs.ext4" };
  }
}

const shutdown =
  "import fcntl,os,struct,sys; fcntl.ioctl(os.open(sys.argv[1],os.O_RDONLY),0x8004587d,struct.pack('I',2))";

export function makeDisk(mebibytes: number): Disk {
  const folder = mkdtempSync(join(tmpdir(), "semrs-disk-"));
  const [image, path] = [join(folder, "image"), join(folder, "mount")];
  run("truncate", "-s", `${mebibytes}M`, image);
  run("mkfs.ext4", "-q", "-F", image);
  mkdirSync(path);
  const mount = (): void => run("mount", "-o", "loop", image, path);
  const unmount = (): void => run("umount", path);
  const remove = (): void => {
    try {
      unmount();
    } finally {
      writeFileSync(image, "");
      rmSync(folder, { recursive: true, force: true });
    }
  };
  mount();
  return {
    path,
    cut: () => run("python3", "-c", shutdown, path),
    refuse: () => {
      run("mount", "-o", "remount,errors=remount-ro", path);
      const device = execFileSync("findmnt", ["-no", "SOURCE", path]).toString().trim();
      writeFileSync(`/sys/fs/ext4/${basename(device)}/trigger_fs_error`, "x");
    },
    restore: () => {
      unmount();
      mount();
    },
    fill: (leaveMib) => {
      const ballast = join(path, "ballast");
      const free = Number(execFileSync("df", ["--output=avail", "-BM", path]).toString().match(/\d+/)?.[0]);
      run("fallocate", "-l", `${Math.max(1, free - leaveMib)}M`, ballast);
      return () => rmSync(ballast);
    },
    remove,
    [Symbol.dispose]: remove,
  };
}

const run = (command: string, ...args: readonly string[]): void => void execFileSync(command, args, { stdio: "pipe" });
