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

/**
 * The hosts' datastores. Which volumes are there follows from the home's images and machines, so that a home that is put back to what it was needs nothing more;
 * images and thick disks take room. A thin disk takes none, but an import into it needs as much as the image has.
 */
export class Storage {
  /** Of disks that no setting names yet, or names without a size because they are unused. */
  private readonly sizes = new WeakMap<Vm, Map<string, number>>();
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
    if (!isFolder(store)) throw failure(`can't upload to storage type '${typeOf(store)}', not a file based storage!`);
    if (!store.content.includes(content))
      throw failure(`storage '${name}' is not configured for content-type '${content}'`);
    if (!store.active) throw failure(`storage '${name}' is not online`);
    return store;
  }

  image(host: string, id: string): Image | undefined {
    return this.home.proxmox.images.find((image) => image.host === host && imageId(image) === id);
  }

  volumes(host: string, name: string): readonly Volume[] {
    const store = this.store(host, name);
    const images: Volume[] = this.home.proxmox.images
      .filter((image) => image.host === host && image.datastore === name)
      .map((image) => ({
        ...{ id: imageId(image), content: "import", size: imageSize.file, format: formatOf(image.file) },
      }));
    const disks: Volume[] = this.home.proxmox.vms
      .filter((vm) => vm.host === host)
      .flatMap((vm) => this.disks(vm))
      .filter(({ id }) => id.startsWith(`${name}:`))
      .map((disk) => ({ ...disk, content: "images", format: formatOf(disk.id) }));
    return [...images, ...disks].filter((volume) => store.content.includes(volume.content));
  }

  /** Bytes of a disk of the machine, 0 for one that it does not have. */
  size(vm: Vm, id: string): number {
    return this.disks(vm).find((disk) => disk.id === id)?.size ?? 0;
  }

  /** Makes a disk. Throws what the storage says when there is no room. */
  allocate(vm: Vm, name: string, wanted: number, given: { readonly file?: string; readonly format?: string }): string {
    const store = this.store(vm.host, name);
    const sizes = this.sizes.get(vm) ?? new Map<string, number>();
    const used = new Set([...this.disks(vm).map((disk) => disk.id), ...sizes.keys()]);
    let id = diskId(store, vm.vmId, given.file ?? `vm-${vm.vmId}-disk-0`, given.format);
    for (let index = 1; given.file === undefined && used.has(id); index += 1)
      id = diskId(store, vm.vmId, `vm-${vm.vmId}-disk-${index}`, given.format);
    const [free, needed] = [store.available / 1024, wanted / 1024];
    if (!store.thin && free < needed) throw failure(`not enough free space (${Math.trunc(free)} < ${needed})`);
    if (!store.thin) store.available -= wanted;
    this.sizes.set(vm, sizes.set(id, wanted));
    return id;
  }

  /** Fills a disk from an image. Throws what qemu-img says when the room ends, and what Proxmox says of an image that is not there. */
  import(vm: Vm, id: string, from: string): void {
    const path = `/var/lib/vz/${from.slice(from.indexOf(":") + 1)}`;
    if (!this.image(vm.host, from)) throw failure(`failed to stat '${path}'`);
    const store = this.store(vm.host, id.split(":")[0] ?? "");
    if (!store.thin || store.available >= imageSize.disk) return;
    const command = `/usr/bin/qemu-img convert -p -n -f qcow2 -O ${formatOf(id)} ${path} zeroinit:${pathOf(store, id)}`;
    throw failure(`cannot import from '${from}' - copy failed: command '${command}' failed: exit code 1`);
  }

  /** Makes a disk larger. Throws what the storage says when there is no room. */
  grow(vm: Vm, id: string, from: number, to: number): void {
    const store = this.store(vm.host, id.split(":")[0] ?? "");
    if (store.thin) return;
    if (store.available < to - from) throw failure(`error resizing volume '${pathOf(store, id)}': exit code 5`);
    store.available -= to - from;
  }

  /** A disk that is gone gives its room back. */
  free(vm: Vm, id: string): void {
    const store = this.stores(vm.host).find(({ name }) => id.startsWith(`${name}:`));
    if (store && !store.thin) store.available += this.size(vm, id) || (this.sizes.get(vm)?.get(id) ?? 0);
    this.sizes.get(vm)?.delete(id);
  }

  /** A disk becomes an unused one, whose size no setting tells any more. */
  unused(vm: Vm, id: string): void {
    this.sizes.set(vm, (this.sizes.get(vm) ?? new Map<string, number>()).set(id, this.size(vm, id)));
  }

  /** Everything that the machine has, attached or not. */
  freeAll(vm: Vm): void {
    for (const { id } of this.disks(vm)) this.free(vm, id);
  }

  /** One import at a time on each host. */
  async inTurn(host: string, work: () => Promise<void>): Promise<void> {
    const mine = (this.imports.get(host) ?? Promise.resolve()).then(work);
    this.imports.set(
      host,
      mine.catch(() => undefined),
    );
    return mine;
  }

  /** What the settings name, now and with what is pending; a disk's size stands there unless it is unused. */
  private disks(vm: Vm): readonly { readonly id: string; readonly size: number; readonly vmId: number }[] {
    const drives = [current(vm, this.home), pending(vm, this.home)]
      .flatMap((settings) => Object.entries(settings))
      .filter(([name]) => isDrive(name) || /^unused\d+$/.test(name))
      .map(([, value]) => properties(String(value), "file"));
    const found = new Map<string, number>();
    for (const { file: id = "", size } of drives) {
      if (!id.includes(":") || (size === undefined && found.has(id))) continue;
      found.set(id, size === undefined ? (this.sizes.get(vm)?.get(id) ?? 0) : bytes(size));
    }
    return [...found].map(([id, size]) => ({ id, size, vmId: vm.vmId }));
  }
}
