import { mayRead } from "./drives";
import { failure, notSimulated, wrongParameter } from "./errors";
import { imageSize } from "./storage";
import { imageId, pathOf, typeOf, type Store } from "./volumes";
import type { Call } from "./world";

/** `GET /nodes/{node}/storage`. */
export function listStores({ world, user, node, parameters: { content } }: Call): unknown {
  return world.storage
    .stores(node)
    .filter(({ name }) => user.may(`/storage/${name}`, "Datastore.Audit"))
    .filter((store) => content === undefined || store.content.includes(content))
    .map((store) => ({ storage: store.name, ...described(store) }));
}

/** `GET /nodes/{node}/storage/{storage}/status`. */
export function readStore({ world, node, storage }: Call): unknown {
  const store = world.storage.stores(node).find(({ name }) => name === storage);
  if (!store) throw wrongParameter("storage", "No such storage.");
  return described(store);
}

function described(store: Store): Record<string, unknown> {
  const total = 4 * 2 ** 40;
  const room = store.active ? { total, avail: store.available, used: total - store.available } : {};
  return {
    ...{ total: 0, avail: 0, used: 0, ...room },
    ...{ type: typeOf(store), content: store.content.join(","), shared: 0 },
    ...{ enabled: 1, active: store.active ? 1 : 0 },
  };
}

/** `GET /nodes/{node}/storage/{storage}/content`: what the token may read. */
export function listContent({ world, user, node, storage, parameters: { content } }: Call): unknown {
  return world.storage
    .volumes(node, storage)
    .filter((volume) => content === undefined || volume.content === content)
    .filter(({ id }) => {
      try {
        mayRead(user, id);
        return true;
      } catch {
        return false;
      }
    })
    .map(({ id, content: kind, size, format, vmId }) => ({
      ...{ volid: id, content: kind, size, format, ctime: 1_767_225_600 },
      ...(vmId !== undefined && { vmid: vmId }),
    }));
}

/** `GET /nodes/{node}/storage/{storage}/content/{volume}`. */
export function readVolume(call: Call): unknown {
  const { world, user, node, storage } = call;
  const id = volumeId(call);
  mayRead(user, id);
  const found = world.storage.volumes(node, storage).find((volume) => volume.id === id);
  if (!found) throw failure(`volume_size_info on '${id}' failed - no format`);
  const path = pathOf(world.storage.store(node, storage), id);
  return { path, size: found.size, used: found.size, format: found.format };
}

/** `DELETE` of the same: a task. Allocating is not enough for it. */
export async function deleteVolume(call: Call): Promise<string> {
  const { world, user, node, storage } = call;
  const id = volumeId(call);
  const store = world.storage.store(node, storage);
  user.need(`/storage/${storage}`, "Datastore.Allocate");
  return world.tasks.start(node, user.name, "imgdel", storage, async () => {
    const image = world.storage.image(node, id);
    if (!image) throw failure(`unlink '${pathOf(store, id)}' failed - No such file or directory`);
    world.home.proxmox.images = world.home.proxmox.images.filter((other) => other !== image);
    store.available += imageSize.file;
  });
}

/** `GET /nodes/{node}/query-url-metadata`: what the host learns of a file before it downloads it. */
export function readUrl({ parameters: { url = "" } }: Call): unknown {
  const filename = decodeURIComponent(url.slice(url.lastIndexOf("/") + 1));
  return { filename, mimetype: "application/octet-stream", size: imageSize.file };
}

/** `POST /nodes/{node}/storage/{storage}/download-url`: a task. A file of the name that has the checksum is left as it is. */
export async function download({ world, user, node, storage, parameters }: Call): Promise<string> {
  const { content = "", filename = "", url = "", checksum } = parameters;
  const store = world.storage.usable(node, storage, content);
  if (content !== "import") throw notSimulated(`download of content ${content}`);
  if (!/^[\w.+=-]+\.(ova|qcow2|raw|vmdk)$/.test(filename))
    throw wrongParameter("filename", "invalid filename or wrong extension");
  const id = imageId({ datastore: storage, file: filename });
  return world.tasks.start(node, user.name, "download", filename, async ({ pause, print }) => {
    print(`downloading ${url} to ${pathOf(store, id)}`);
    const found = world.storage.image(node, id);
    if (found && checksum === undefined) throw failure(`refusing to override existing file '${pathOf(store, id)}'`);
    if (found && (found.checksum ?? checksum) !== checksum)
      throw failure(`checksum mismatch: got '${found.checksum}' != expect '${checksum}', aborting`);
    if (found)
      return print("calculating checksum of existing file...OK, got correct file already, no need to download");
    await pause(world.durations.download);
    if (store.available < imageSize.file) throw failure("download failed: command 'wget' failed: exit code 3");
    store.available -= imageSize.file;
    world.home.proxmox.images.push({ host: node, datastore: storage, file: filename, ...(checksum && { checksum }) });
    print(`download of '${url}' to '${pathOf(store, id)}' finished`);
  });
}

/** With or without its datastore in front. */
function volumeId({ storage, parameters: { volume = "" } }: Call): string {
  if (!volume.includes(":")) return `${storage}:${volume}`;
  const [named] = volume.split(":");
  if (named !== storage) throw wrongParameter("volume", `storage ID mismatch (${named} != ${storage})`);
  return volume;
}
