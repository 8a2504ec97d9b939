"""Vectors for Ed25519, as hex."""

# RFC 8032, section 7.1: (public key, message, signature)
VALID = (
    # TEST 1
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39"
        "701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    # TEST 2
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f36"
        "13d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    # TEST 3
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f7"
        "60984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    # TEST 1024
    (
        "278117fc144c72340f67d0f2316e8386ceffbf2b2428c9c51fef7c597f1d426e",
        "08b8b2b733424243760fe426a4b54908632110a66c2f6591eabd3345e3e4eb98fa6e264bf09efe12ee50f8"
        "f54e9f77b1e355f6c50544e23fb1433ddf73be84d879de7c0046dc4996d9e773f4bc9efe5738829adb26c8"
        "1b37c93a1b270b20329d658675fc6ea534e0810a4432826bf58c941efb65d57a338bbd2e26640f89ffbc1a"
        "858efcb8550ee3a5e1998bd177e93a7363c344fe6b199ee5d02e82d522c4feba15452f80288a821a579116"
        "ec6dad2b3b310da903401aa62100ab5d1a36553e06203b33890cc9b832f79ef80560ccb9a39ce767967ed6"
        "28c6ad573cb116dbefefd75499da96bd68a8a97b928a8bbc103b6621fcde2beca1231d206be6cd9ec7aff6"
        "f6c94fcd7204ed3455c68c83f4a41da4af2b74ef5c53f1d8ac70bdcb7ed185ce81bd84359d44254d95629e"
        "9855a94a7c1958d1f8ada5d0532ed8a5aa3fb2d17ba70eb6248e594e1a2297acbbb39d502f1a8c6eb6f1ce"
        "22b3de1a1f40cc24554119a831a9aad6079cad88425de6bde1a9187ebb6092cf67bf2b13fd65f27088d78b"
        "7e883c8759d2c4f5c65adb7553878ad575f9fad878e80a0c9ba63bcbcc2732e69485bbc9c90bfbd62481d9"
        "089beccf80cfe2df16a2cf65bd92dd597b0707e0917af48bbb75fed413d238f5555a7a569d80c3414a8d08"
        "59dc65a46128bab27af87a71314f318c782b23ebfe808b82b0ce26401d2e22f04d83d1255dc51addd3b75a"
        "2b1ae0784504df543af8969be3ea7082ff7fc9888c144da2af58429ec96031dbcad3dad9af0dcbaaaf268c"
        "b8fcffead94f3c7ca495e056a9b47acdb751fb73e666c6c655ade8297297d07ad1ba5e43f1bca323016513"
        "39e22904cc8c42f58c30c04aafdb038dda0847dd988dcda6f3bfd15c4b4c4525004aa06eeff8ca61783aac"
        "ec57fb3d1f92b0fe2fd1a85f6724517b65e614ad6808d6f6ee34dff7310fdc82aebfd904b01e1dc54b2927"
        "094b2db68d6f903b68401adebf5a7e08d78ff4ef5d63653a65040cf9bfd4aca7984a74d37145986780fc0b"
        "16ac451649de6188a7dbdf191f64b5fc5e2ab47b57f7f7276cd419c17a3ca8e1b939ae49e488acba6b9656"
        "10b5480109c8b17b80e1b7b750dfc7598d5d5011fd2dcc5600a32ef5b52a1ecc820e308aa342721aac0943"
        "bf6686b64b2579376504ccc493d97e6aed3fb0f9cd71a43dd497f01f17c0e2cb3797aa2a2f256656168e6c"
        "496afc5fb93246f6b1116398a346f1a641f3b041e989f7914f90cc2c7fff357876e506b50d334ba77c225b"
        "c307ba537152f3f1610e4eafe595f6d9d90d11faa933a15ef1369546868a7f3a45a96768d40fd9d03412c0"
        "91c6315cf4fde7cb68606937380db2eaaa707b4c4185c32eddcdd306705e4dc1ffc872eeee475a64dfac86"
        "aba41c0618983f8741c5ef68d3a101e8a3b8cac60c905c15fc910840b94c00a0b9d0",
        "0aab4c900501b3e24d7cdf4663326a3a87df5e4843b2cbdb67cbf6e460fec350aa5371b1508f9f4528ecea"
        "23c436d94b5e8fcd4f681e30a6ac00a9704a188a03",
    ),
    # TEST SHA(abc)
    (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c"
        "23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7"
        "c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
)

# Made with points of small order by tests/host/rigs/ed25519_reference.py, for the message "writ":
# (public key, signature, whether it is valid). Laxer verifiers, such as OpenSSL, accept more.
EDGES = (
    # a key of mixed order; k is a multiple of 8 once reduced, not before: OpenSSL accepts it
    (
        "e381e79c286e4d5ee8967c9315acfad9c32c96212b4ddba70bc9d7f2ab1be009",
        "437b44b303592d4005ff4668990a2561cf60c01dd693fc880744da84dac4af76fc304aed4169e5813b5f54"
        "1689e03c87fed259eed0c783cfffb0f37893e5120d",
        False,
    ),
    # the same; k is a multiple of 8 before it is reduced, not after
    (
        "9a4a42d53290219d21c57276d07f6021c9db635d5180b23f095a169bfa180b1f",
        "aeded15b5700655e90a88985831293a9c8fa09ba375da57c89588af274b4255f499233ea4e591fa288ecda"
        "f54a1ac3f8ede0aa90667c570e6357b98a44791407",
        False,
    ),
    # the same; k is odd
    (
        "2963998a3731dfe52460dcf2dd901d8febe4ea2a311f194e5592b4334c653bfe",
        "904b77f9016a001705d6d9f4111cb4f047df7db3d85413ec0752025b0a6ba9444197f589e88dbddae8f2de"
        "5b17b11c5fd01b1abf2b2a48412778e2e99759450d",
        False,
    ),
    # key and R of mixed order that cancel out, k odd
    (
        "d290a6122db5ea63364255fabacd801951d21860219fcff79b34566821089abe",
        "70ae9ccf2f0f7347bc5e5966215b168cc9c15a1c192ccef7917e6fe7f05b78ff6a8f8928b19813072c3174"
        "f5eb685af34bc1beea80123478101bd04032490e02",
        False,
    ),
    # the same, k even
    (
        "47959a0c2ae8294d5aa593c266ac0d5f8416f31c5cf865d9e45565c6b0bcfcba",
        "18b30cd697ae5b7f91f66c0b9e730e97571cbb18844ed7283b5f29618e53ddff5c90ff649a70958ecc4c3d"
        "11c82652fee18d42ba93a966e67e88ec9003005004",
        False,
    ),
    # a good key, R of mixed order
    (
        "a4eee9ab8961d1e162c21bfda53be2255fa600d074a5a2f6b2b7995702f4ee56",
        "82072252304d9ed00c8190d7fee1f1f74b645528f80ab6d08a48d0e5e1f15d97e30203127d77040fcea6fc"
        "63d0c556f30f6ff2dc1f3c70f44dbd9b6d8d729608",
        False,
    ),
    # R is the neutral point
    (
        "5432d2c80ad1b10d28cfcfd5a73da9fb6399e9e4ef58594ecedfc7b2af306bb6",
        "010000000000000000000000000000000000000000000000000000000000000001c0900da22453cf5d3080"
        "afa704232c199f4636684765ef2ed931e10e90f40a",
        False,
    ),
    # the same, encoded with y = p + 1
    (
        "c7749a9bfe523dad404b52fb30e34c4d7d81c18ca906bba0a19a8c8c9b235f9c",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f3fcd8810e5813975e74053"
        "9e26d50a15dda387a91bb1a2a448c689352cf98b01",
        False,
    ),
    # the same, encoded with the sign of x = 0 set
    (
        "cf9c102f88fa111ac29181f77c0dd8a34a73fc3f6f1b106d67ea93059ea95369",
        "010000000000000000000000000000000000000000000000000000000000008011638433a3b767225b5250"
        "fff5219eb4a041099eb6b42ef8c59ec4623a4dc80d",
        False,
    ),
    # plain
    (
        "ef4f62f8479733ad879cfaced3c89a9c39dd4fc795ef2efa1c3eafe4d729a081",
        "8c5491d56f8c8ce58d256de0eb2a7dd0c9ab15faf25fba2b1e3ff376b9d70e5444335996cb45e978588993"
        "87e74529618a8274f74aa12d4c904e3fd0c7d79d0d",
        True,
    ),
    # S plus the order
    (
        "ef4f62f8479733ad879cfaced3c89a9c39dd4fc795ef2efa1c3eafe4d729a081",
        "8c5491d56f8c8ce58d256de0eb2a7dd0c9ab15faf25fba2b1e3ff376b9d70e5431074ff3e5a8fbd02e268b"
        "2ac63f08768a8274f74aa12d4c904e3fd0c7d79d1d",
        False,
    ),
)

# All encodings of the eight points of small order, canonical or not: never a key.
SMALL_ORDER = (
    "0100000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
)

# Wycheproof, ed25519_test.json: (public key, message, signature), all invalid
INVALID = (
    # 10: special values for r and s
    (
        "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa",
        "3f",
        "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "000000000000000000000000000000000000000000",
    ),
    # 11: special values for r and s
    (
        "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa",
        "3f",
        "00000000000000000000000000000000000000000000000000000000000000000100000000000000000000"
        "000000000000000000000000000000000000000000",
    ),
    # 12: special values for r and s
    (
        "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa",
        "3f",
        "0000000000000000000000000000000000000000000000000000000000000000ecd3f55c1a631258d69cf7"
        "a2def9de1400000000000000000000000000000010",
    ),
    # 13: special values for r and s
    (
        "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa",
        "3f",
        "0000000000000000000000000000000000000000000000000000000000000000edd3f55c1a631258d69cf7"
        "a2def9de1400000000000000000000000000000010",
    ),
    # 30: empty signature
    (
        "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa",
        "54657374",
        "",
    ),
    # 31: s missing
    (
        "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa",
        "54657374",
        "7c38e026f29e14aabd059a0f2db8b0cd783040609a8be684db12f82a27774ab0",
    ),
    # 33: signature too long
    (
        "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa",
        "54657374",
        "7c38e026f29e14aabd059a0f2db8b0cd783040609a8be684db12f82a27774ab07a9155711ecfaf7f99f277"
        "bad0c6ae7e39d4eef676573336a5c51eb6f946b30d2020",
    ),
    # 34: include pk in signature
    (
        "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa",
        "54657374",
        "7c38e026f29e14aabd059a0f2db8b0cd783040609a8be684db12f82a27774ab07a9155711ecfaf7f99f277"
        "bad0c6ae7e39d4eef676573336a5c51eb6f946b30d7d4d0e7f6153a69b6242b522abbee685fda4420f8834"
        "b108c3bdae369ef549fa",
    ),
    # 38: removing 0 byte from signature
    (
        "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa",
        "546573743137",
        "93de3ca252426c95f735cb9edd92e83321ac62372d5aa5b379786bae111ab6b17251330e8f9a7c30d69931"
        "37c596007d7b001409287535ac4804e662bc58a3",
    ),
    # 39: removing 0 byte from signature
    (
        "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa",
        "54657374313236",
        "dffed33a7f420b62bb1731cfd03be805affd18a281ec02b1067ba6e9d20826569e742347df59c88ae96db1"
        "f1969fb189b0ec34381d85633e1889da48d95e0e",
    ),
    # 42: modified bit 0 in R
    (
        "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa",
        "313233343030",
        "647c1492402ab5ce03e2c3a7f0384d051b9cf3570f1207fc78c1bcc98c281c2b1d125e5538f38afbcc1c84"
        "e489521083041d24bc6240767029da063271a1ff0c",
    ),
    # 43: modified bit 1 in R
    (
        "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa",
        "313233343030",
        "677c1492402ab5ce03e2c3a7f0384d051b9cf3570f1207fc78c1bcc98c281c2bc108ca4b87a49c9ed2cf38"
        "3aecad8f54a962b2899da891e12004d7993a627e01",
    ),
    # 44: modified bit 2 in R
    (
        "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa",
        "313233343030",
        "617c1492402ab5ce03e2c3a7f0384d051b9cf3570f1207fc78c1bcc98c281c2b9ce23fc6213ed5b87912e9"
        "bbf92f5e2c780eae26d15c50a112d1e97d2ea33c06",
    ),
    # 45: modified bit 7 in R
    (
        "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa",
        "313233343030",
        "e57c1492402ab5ce03e2c3a7f0384d051b9cf3570f1207fc78c1bcc98c281c2bbb3eb51cd98dddb235a5f4"
        "6f2bded6af184a58d09cce928bda43f41d69118a03",
    ),
    # 46: modified bit 8 in R
    (
        "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa",
        "313233343030",
        "657d1492402ab5ce03e2c3a7f0384d051b9cf3570f1207fc78c1bcc98c281c2bcd237dda9a116501f67a57"
        "05a854b9adc304f34720803a91b324f2c13e0f5a09",
    ),
    # 47: modified bit 16 in R
    (
        "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa",
        "313233343030",
        "657c1592402ab5ce03e2c3a7f0384d051b9cf3570f1207fc78c1bcc98c281c2b6b167bbdc0d881cc04d289"
        "05552c1876f3709851abc5007376940cc8a435c300",
    ),
    # 48: modified bit 31 in R
    (
        "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa",
        "313233343030",
        "657c1412402ab5ce03e2c3a7f0384d051b9cf3570f1207fc78c1bcc98c281c2b7fd2ac7da14afffcceeb13"
        "f2a0d6b887941cb1a5eb57a52f3cb131a16cce7b0e",
    ),
    # 49: modified bit 32 in R
    (
        "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa",
        "313233343030",
        "657c1492412ab5ce03e2c3a7f0384d051b9cf3570f1207fc78c1bcc98c281c2b7373ba13ebbef99cd2a8ea"
        "d55ce735c987d85a35320925a8e871702dc7c5c40d",
    ),
    # 63: the encoded s was replaced by s + L
    (
        "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa",
        "54657374",
        "7c38e026f29e14aabd059a0f2db8b0cd783040609a8be684db12f82a27774ab067654bce3832c2d76f8f6f"
        "5dafc08d9339d4eef676573336a5c51eb6f946b31d",
    ),
    # 64: the encoded s was replaced by s + 2L
    (
        "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa",
        "54657374",
        "7c38e026f29e14aabd059a0f2db8b0cd783040609a8be684db12f82a27774ab05439412b5395d42f462c67"
        "008eba6ca839d4eef676573336a5c51eb6f946b32d",
    ),
    # 65: the encoded s was replaced by s + 4L
    (
        "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa",
        "54657374",
        "7c38e026f29e14aabd059a0f2db8b0cd783040609a8be684db12f82a27774ab02ee12ce5875bf9dff26556"
        "464bae2ad239d4eef676573336a5c51eb6f946b34d",
    ),
    # 66: the encoded s was replaced by s + 8L
    (
        "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa",
        "54657374",
        "7c38e026f29e14aabd059a0f2db8b0cd783040609a8be684db12f82a27774ab0e2300459f1e742404cd934"
        "d2c595a6253ad4eef676573336a5c51eb6f946b38d",
    ),
    # 67: the encoded s was replaced by s + 2^253
    (
        "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa",
        "54657374",
        "7c38e026f29e14aabd059a0f2db8b0cd783040609a8be684db12f82a27774ab07a9155711ecfaf7f99f277"
        "bad0c6ae7e39d4eef676573336a5c51eb6f946b32d",
    ),
    # 68: the encoded s was replaced by s + 2^254
    (
        "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa",
        "54657374",
        "7c38e026f29e14aabd059a0f2db8b0cd783040609a8be684db12f82a27774ab07a9155711ecfaf7f99f277"
        "bad0c6ae7e39d4eef676573336a5c51eb6f946b34d",
    ),
    # 85: Signature with S just above the bound
    (
        "100fdf47fb94f1536a4f7c3fda27383fa03375a8f527c537e6f1703c47f94f86",
        "6a0bc2b0057cedfc0fa2e3f7f7d39279b30f454a69dfd1117c758d86b19d85e0",
        "0971f86d2c9c78582524a103cb9cf949522ae528f8054dc20107d999be673ff4e25ebf2f2928766b1248be"
        "c6e91697775f8446639ede46ad4df4053000000010",
    ),
    # 210: sodium_compat v2.5.1 mixed-order subgroup regression
    (
        "d1e06adf4e05e248e1e52beca14b6be4da0af01b41645d2849b407ec22f41d47",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f7"
        "60984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
)
