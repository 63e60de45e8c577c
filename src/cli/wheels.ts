/** The libtorch that `setup` fetches. */
export const pinnedVersion = '2.13.0';

/** What `pip` can be asked for, and the SHA-256 that the file of each platform must have. */
export interface Wheel {
  readonly name: string;
  readonly version: string;
  readonly sha256: { readonly [platform: string]: string };
}

/**
 * torch and the companions that its metadata requires on Linux, itself and by way of cuda-toolkit. Digests as the package index gives
 * them: `pip install --dry-run --no-deps --only-binary :all: --report FILE NAME==VERSION …` with the platform tags below.
 */
export const wheels: readonly Wheel[] = [
  {
    name: 'torch',
    version: '2.13.0',
    sha256: {
      'linux-x64': '796633c4cdf0fe2cdced72d8f88f22e73dbcfce83132763162f6d4bff13b820b',
      'linux-arm64': '572df8be8ffb4599c88cbd6a0726f1f854f4da65d2e3c09f0e2c2283333cd6d4',
      'darwin-arm64': '2fe228aba290d14b9f31b049be550dbd469c3fd3013d7a19705b30454da97027',
    },
  },
  {
    name: 'nvidia-cublas',
    version: '13.1.1.3',
    sha256: {
      'linux-x64': '37936a16db8fe4ac1f065c2139360608a543a09275cb1a1af612e08cfa065436',
      'linux-arm64': 'b7a210458267ac818974c53038fbec2e969d5c99f305ab15c72522fa9f001dd5',
    },
  },
  {
    name: 'nvidia-cuda-cupti',
    version: '13.0.85',
    sha256: {
      'linux-x64': '4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8',
      'linux-arm64': '796bd679890ee55fb14a94629b698b6db54bcfd833d391d5e94017dd9d7d3151',
    },
  },
  {
    name: 'nvidia-cuda-nvrtc',
    version: '13.0.88',
    sha256: {
      'linux-x64': 'ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575',
      'linux-arm64': 'd27f20a0ca67a4bb34268a5e951033496c5b74870b868bacd046b1b8e0c3267b',
    },
  },
  {
    name: 'nvidia-cuda-runtime',
    version: '13.0.96',
    sha256: {
      'linux-x64': '7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548',
      'linux-arm64': 'ef9bcbe90493a2b9d810e43d249adb3d02e98dd30200d86607d8d02687c43f55',
    },
  },
  {
    name: 'nvidia-cudnn-cu13',
    version: '9.20.0.48',
    sha256: {
      'linux-x64': '0c45dd8eeb50b603f07995b1b300c62ffe6a1980482b82b3bcf94a4ca9d49304',
      'linux-arm64': 'e31454ae00094b0c55319d9d15b6fa2fc50a9e1c0f5c8c80fb75258234e731e1',
    },
  },
  {
    name: 'nvidia-cufft',
    version: '12.0.0.61',
    sha256: {
      'linux-x64': '6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3',
      'linux-arm64': '2708c852ef8cd89d1d2068bdbece0aa188813a0c934db3779b9b1faa8442e5f5',
    },
  },
  {
    name: 'nvidia-cufile',
    version: '1.15.1.6',
    sha256: {
      'linux-x64': '08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44',
      'linux-arm64': 'bdc0deedc61f548bddf7733bdc216456c2fdb101d020e1ab4b88d232d5e2f6d1',
    },
  },
  {
    name: 'nvidia-curand',
    version: '10.4.0.35',
    sha256: {
      'linux-x64': '1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc',
      'linux-arm64': '133df5a7509c3e292aaa2b477afd0194f06ce4ea24d714d616ff36439cee349a',
    },
  },
  {
    name: 'nvidia-cusolver',
    version: '12.0.4.66',
    sha256: {
      'linux-x64': '0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112',
      'linux-arm64': '02c2457eaa9e39de20f880f4bd8820e6a1cfb9f9a34f820eb12a155aa5bc92d2',
    },
  },
  {
    name: 'nvidia-cusparse',
    version: '12.6.3.3',
    sha256: {
      'linux-x64': '2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b',
      'linux-arm64': '80bcc4662f23f1054ee334a15c72b8940402975e0eab63178fc7e670aa59472c',
    },
  },
  {
    name: 'nvidia-cusparselt-cu13',
    version: '0.8.1',
    sha256: {
      'linux-x64': '786ce87568c303fadb5afcc7102d454cd3040d75f6f8626f5db460d1871f4dd0',
      'linux-arm64': '4dca476c50bf4780d46cd0bfbd82e2bc10a08e4fef7950917ce8d7578d22a23f',
    },
  },
  {
    name: 'nvidia-nccl-cu13',
    version: '2.29.7',
    sha256: {
      'linux-x64': 'edd81538446786ec3b73972543e53bb43bcaf0bfc8ef76cb679fcc390ffe136d',
      'linux-arm64': '674a12383e3c38a1bcccae7d4f3633b37852230b6047883cb2f4c2d1b36d9bf5',
    },
  },
  {
    name: 'nvidia-nvjitlink',
    version: '13.0.88',
    sha256: {
      'linux-x64': '13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b',
      'linux-arm64': 'e931536ccc7d467a98ba1d8b89ff7fa7f1fa3b13f2b0069118cd7f47bff07d0c',
    },
  },
  {
    name: 'nvidia-nvshmem-cu13',
    version: '3.4.5',
    sha256: {
      'linux-x64': '290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80',
      'linux-arm64': '6dc2a197f38e5d0376ad52cd1a2a3617d3cdc150fd5966f4aee9bcebb1d68fe9',
    },
  },
  {
    name: 'nvidia-nvtx',
    version: '13.0.85',
    sha256: {
      'linux-x64': '4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4',
      'linux-arm64': 'cb7780edb6b14107373c835bf8b72e7a178bac7367e23da7acb108f973f157a6',
    },
  },
];

/** All that CPU work needs besides torch: libtorch_cpu of a CUDA wheel is linked to these two. */
export const cpuCompanions: readonly string[] = ['nvidia-cuda-runtime', 'nvidia-cuda-cupti'];

/** The platform tags of wheels that run here, newest first; undefined where PyTorch publishes none. */
export function platformTags(platform: string): readonly string[] | undefined {
  const range = (first: number, last: number, tag: (n: number) => string) =>
    Array.from({ length: first - last + 1 }, (_, index) => tag(first - index));
  switch (platform) {
    case 'linux-x64':
      return [
        ...range(28, 14, (n) => `manylinux_2_${n}_x86_64`),
        'manylinux2014_x86_64',
        'manylinux2010_x86_64',
        'manylinux1_x86_64',
      ];
    case 'linux-arm64':
      return [...range(28, 17, (n) => `manylinux_2_${n}_aarch64`), 'manylinux2014_aarch64'];
    case 'darwin-arm64':
      return range(14, 11, (n) => `macosx_${n}_0_arm64`);
    default:
      return undefined;
  }
}

/** About how much there is to fetch, in MB: for torch with what the CPU needs, or with all its companions. */
export function megabytes(wanted: readonly Wheel[]): number {
  return wanted.length > 3 ? 2_520 : 540;
}
