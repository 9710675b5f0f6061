import * as pulumi from "@pulumi/pulumi";
import { AddressPools } from "../components/services/address-pools";
import { refuseGivenCharts } from "../components/services/given-charts";
import { IngressService } from "../components/services/ingress-service";
import { ingressAnnouncers, ingressTarget, poolAnnouncers } from "../components/services/ingress-target";
import { Longhorn, storageNodes } from "../components/services/longhorn";
import { isS3 } from "../components/services/longhorn-backup";
import { LonghornGuard } from "../components/services/longhorn-guard";
import { LonghornUi } from "../components/services/longhorn-ui";
import { MetalLb } from "../components/services/metallb";
import type { Context, Declared, ServicesOutputs } from "./context";
import { access, kubernetesProvider, operationsProvider, randomProvider } from "./providers";
import { requireNodes } from "./reference";

/** The layer services: Longhorn and its UI; MetalLB, its pools, and the ingress controller on its fixed address. The two halves wait for nothing of each other. */
export async function services(context: Context): Promise<Declared<ServicesOutputs>> {
  const { file, secrets } = context;
  refuseGivenCharts(file);
  // Nothing is registered before every node of the file is deployed: storage and announcements are declared for all of them.
  await requireNodes(context);
  const providers = [kubernetesProvider(context), operationsProvider(), randomProvider()];
  const ways = access(context, ["kubernetes"]);

  const longhorn = new Longhorn(
    "longhorn",
    {
      longhorn: file.longhorn,
      project: file.cluster.rancher.storageProject,
      storageNodes: storageNodes(file),
      oldStorageClass: file.oldStorage.storageClass,
      access: ways,
      ...(isS3(file.longhorn.backup) && {
        backupCredentials: { accessKey: secrets.backupAccessKey, secretKey: secrets.backupSecretKey },
      }),
    },
    { providers },
  );
  const { host, user, clusterIssuer } = file.longhorn;
  const { controller, className } = file.ingress;
  const ui = new LonghornUi(
    "longhorn-ui",
    { host, user, clusterIssuer, controller, className, namespace: longhorn.namespace },
    { providers, dependsOn: longhorn },
  );

  const { pools, chart } = file.loadBalancer;
  const target = ingressTarget(file.ingress, file.cluster.distribution);
  const metallb = new MetalLb("metallb", { chart, announcers: poolAnnouncers(file), access: ways }, { providers });
  const { namespace } = metallb;
  const addressPools = new AddressPools(
    "pools",
    { pools, nodes: file.nodes, ingressNamespace: target.namespace, namespace },
    { providers },
  );
  const ingress = new IngressService(
    "ingress",
    { ingress: file.ingress, target, announcers: ingressAnnouncers(file), access: ways },
    { providers, dependsOn: addressPools },
  );

  new LonghornGuard(
    "longhorn-guard",
    { leaving: file.longhorn.leaving, access: ways },
    { providers, dependsOn: [longhorn, ui, metallb, addressPools, ingress] },
  );
  return {
    storageClass: longhorn.storageClass,
    ingressAddress: ingress.address,
    longhornUrl: pulumi.output(ui.url),
    longhornPassword: ui.password,
  };
}
