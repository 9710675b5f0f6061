/**
 * What the token may do, and no more: the role of the README. Which request needs which privilege stands in Proxmox's API schema; a test derives the list from
 * the requests that the program really made.
 */
export const leastPrivileges = [
  "Datastore.AllocateSpace",
  "Datastore.AllocateTemplate",
  "Datastore.Audit",
  "Pool.Audit",
  "SDN.Use",
  "Sys.AccessNetwork",
  "VM.Allocate",
  "VM.Audit",
  "VM.Config.CDROM",
  "VM.Config.CPU",
  "VM.Config.Cloudinit",
  "VM.Config.Disk",
  "VM.Config.HWType",
  "VM.Config.Memory",
  "VM.Config.Network",
  "VM.Config.Options",
  "VM.GuestAgent.Audit",
  "VM.GuestAgent.FileRead",
  "VM.PowerMgmt",
] as const;
