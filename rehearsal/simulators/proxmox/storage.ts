import type { HomeState, Vm } from "../../home/state";
import { failure } from "./errors";
import { bytes, current, isDrive, pending, properties } from "./settings";
import { diskId, formatOf, imageId, isFolder, pathOf, typeOf, type Image, type Store } from "./volumes";

/** A disk or image on a datastore. */
export interface Volume {
  readonly id: string;
  readonly content: "images" | "import";
  readonly size: number;
  readonly format: string;
  /** Whose disk it is. */
  readonly vmId?: number;
}

/** Every image is as large as Debian's: what its file takes, and the disk that is made from it. */
export const imageSize = { file: 420 * 2 ** 20, disk: 3 * 2 ** 30 };

/** The hosts' datastores: which volumes are there follows from the home's images and machines; how much room is left changes with each. */
export class Storage {
  private readonly sizes = new Map<string, number>();
  private readonly taken = new Map<string, number>();
  private readonly imports = new Map<string, Promise<void>>();

  constructor(private readonly home: HomeState) {}

  stores(host: string): readonly Store[] {
    return this.home.proxmox.datastores.filter((store) => store.host === host);
  }

  store(host: string, name: string): Store {
    const found = this.stores(host).find((store) => store.name === name);
    if (!found) throw failure(`storage '${name}' does not exist`);
    return found;
  }

  /** For a new file: one that is there and allows the content. */
  usable(host: string, name: string, content: string): Store {
    const store = this.store(host, name);
    if (!store.active) throw failure(`storage '${name}' is not online`);
    if (!isFolder(store)) throw failure(`can't upload to storage type '${typeOf(store)}', not a file based storage!`);
    if (!store.content.includes(content))
      throw failure(`storage '${name}' is not configured for content-type '${content}'`);
    return store;
  }

  image(host: string, id: string): Image | undefined {
    return this.home.proxmox.images.find((image) => image.host === host && imageId(image) === id);
  }

  volumes(host: string, name: string): readonly Volume[] {
    const store = this.store(host, name);
    const images = this.home.proxmox.images.filter((image) => image.host === host && image.datastore === name);
    const disks = this.home.proxmox.vms
      .filter((vm) => vm.host === host)
      .flatMap((vm) => this.disks(vm))
      .filter(({ id }) => id.startsWith(`${name}:`))
      .map((disk) => ({ ...disk, format: formatOf(disk.id), content: "images" as const }));
    return [
      ...images.map((image) => ({
        id: imageId(image),
        content: "import" as const,
        size: imageSize.file,
        format: formatOf(image.file),
      })),
      ...disks,
    ].filter((volume) => store.content.includes(volume.content));
  }

  /** Bytes of a volume, 0 for one that nobody has. */
  size(vm: Vm, id: string): number {
    return this.disks(vm).find((disk) => disk.id === id)?.size ?? 0;
  }

  /** Makes a disk. Throws what the storage says when there is no room. */
  allocate(vm: Vm, name: string, wanted: number, given: { readonly file?: string; readonly format?: string }): string {
    const store = this.store(vm.host, name);
    const used = new Set([...this.disks(vm).map((disk) => key(vm, disk.id)), ...this.sizes.keys()]);
    let id = diskId(store, vm.vmId, given.file ?? `vm-${vm.vmId}-disk-0`, given.format);
    for (let index = 1; given.file === undefined && used.has(key(vm, id)); index += 1)
      id = diskId(store, vm.vmId, `vm-${vm.vmId}-disk-${index}`, given.format);
    if (!store.thin) {
      const [free, needed] = [store.available / 1024, wanted / 1024];
      if (free < needed) throw failure(`not enough free space (${Math.trunc(free)} < ${needed})`);
      this.take(store, id, wanted);
    }
    this.sizes.set(key(vm, id), wanted);
    return id;
  }

  /** Fills a disk from an image. Throws what qemu-img says when the room ends, and what Proxmox says of an image that is not there. */
  import(vm: Vm, id: string, from: string): void {
    const image = this.image(vm.host, from);
    const path = `/var/lib/vz/${from.slice(from.indexOf(":") + 1)}`;
    if (!image) throw failure(`failed to stat '${path}'`);
    const store = this.store(vm.host, id.split(":")[0] ?? "");
    if (!store.thin) return;
    if (store.available < imageSize.disk) {
      const command = `/usr/bin/qemu-img convert -p -n -f qcow2 -O ${formatOf(id)} ${path} zeroinit:${pathOf(store, id)}`;
      throw failure(`cannot import from '${from}' - copy failed: command '${command}' failed: exit code 1`);
    }
    this.take(store, id, imageSize.disk);
  }

  /** A disk that grew. */
  resized(vm: Vm, id: string, to: number): void {
    this.sizes.set(key(vm, id), to);
  }

  /** A disk that is gone gives its room back. */
  free(host: string, id: string): void {
    const store = this.stores(host).find(({ name }) => id.startsWith(`${name}:`));
    const found = `${host}/${id}`;
    if (store) store.available += this.taken.get(found) ?? 0;
    this.taken.delete(found);
    this.sizes.delete(found);
  }

  /** Everything that the machine has, attached or not. */
  freeAll(vm: Vm): void {
    for (const { id } of this.disks(vm)) this.free(vm.host, id);
  }

  /** One import at a time on each host. */
  async inTurn(host: string, work: () => Promise<void>): Promise<void> {
    const before = this.imports.get(host) ?? Promise.resolve();
    const mine = before.then(work);
    this.imports.set(
      host,
      mine.catch(() => undefined),
    );
    return mine;
  }

  private disks(vm: Vm): readonly { readonly id: string; readonly size: number; readonly vmId: number }[] {
    const settings = Object.entries({ ...current(vm, this.home), ...pending(vm, this.home) });
    const ids = settings
      .filter(([name]) => isDrive(name) || /^unused\d+$/.test(name))
      .map(([, value]) => properties(String(value), "file"))
      .filter(({ file = "" }) => file.includes(":"));
    return ids.map(({ file: id = "", size = "0" }) => ({
      id,
      size: this.sizes.get(key(vm, id)) ?? bytes(size),
      vmId: vm.vmId,
    }));
  }

  take(store: Store, id: string, count: number): void {
    store.available -= count;
    this.taken.set(`${store.host}/${id}`, count);
  }
}

const key = (vm: Vm, id: string): string => `${vm.host}/${id}`;
