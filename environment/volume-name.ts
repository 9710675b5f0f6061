/** How a volume is called in resource names, Jobs and the ledger. Rules and components use these, so that what is checked is what is created. */

/** What names a volume. */
export interface NamedVolume {
  readonly namespace: string;
  readonly claim: string;
}

/**
 * The claim's name where no other volume has it, else `<namespace>-<claim>`. A second volume with the same claim name therefore gives the first another name, and with it
 * new Jobs: harmless by the marker that a finished copy leaves, and visible in the preview. The rule `migrationJobNames` keeps names apart.
 */
export function volumeName(volume: NamedVolume, volumes: readonly NamedVolume[]): string {
  const others = volumes.some((other) => other.claim === volume.claim && other.namespace !== volume.namespace);
  return others ? `${volume.namespace}-${volume.claim}` : volume.claim;
}

/** The new claim's name. A claim cannot be renamed, and the old one stays until it is let go, so the new one has another name. */
export function newClaimName(volume: NamedVolume & { readonly newClaim?: string | undefined }): string {
  return volume.newClaim ?? `${volume.claim}-longhorn`;
}

/** The claim under which the old volume is kept once the new one has taken its name (switch `same-name`). */
export function keptClaimName({ claim }: NamedVolume): string {
  return `${claim}-old`;
}

/** The copy Job's name. */
export function migrationJobName(volume: NamedVolume, volumes: readonly NamedVolume[]): string {
  return `volume-migration-${volumeName(volume, volumes)}`;
}
