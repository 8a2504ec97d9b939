"""Published FROST(Ed25519, SHA-512) values, as hex.

RFC9591: RFC 9591, appendix E.1 (2 of 3; governors 1 and 3 sign).
DKG: test vectors of the Zcash Foundation's FROST (github.com/ZcashFoundation/frost,
frost-ed25519): vectors_dkg.json, 2 of 3.
"""
# ruff: noqa: E501

RFC9591 = {
    "group_secret_key": "7b1c33d3f5291d85de664833beb1ad469f7fb6025a0ec78b3a790c6e13a98304",
    "group_key": "15d21ccd7ee42959562fc8aa63224c8851fb3ec85a3faf66040d380fb9738673",
    "message": "74657374",
    "coefficient": "178199860edd8c62f5212ee91eff1295d0d670ab4ed4506866bae57e7030b204",
    "shares": {
        1: "929dcc590407aae7d388761cddb0c0db6f5627aea8e217f4a033f2ec83d93509",
        2: "a91e66e012e4364ac9aaa405fcafd370402d9859f7b6685c07eed76bf409e80d",
        3: "d3cb090a075eb154e82fdb4b3cb507f110040905468bb9c46da8bdea643a9a02",
    },
    "signers": {
        1: {
            "hiding_nonce_randomness": "0fd2e39e111cdc266f6c0f4d0fd45c947761f1f5d3cb583dfcb9bbaf8d4c9fec",
            "binding_nonce_randomness": "69cd85f631d5f7f2721ed5e40519b1366f340a87c2f6856363dbdcda348a7501",
            "hiding_nonce": "812d6104142944d5a55924de6d49940956206909f2acaeedecda2b726e630407",
            "binding_nonce": "b1110165fc2334149750b28dd813a39244f315cff14d4e89e6142f262ed83301",
            "hiding_nonce_commitment": "b5aa8ab305882a6fc69cbee9327e5a45e54c08af61ae77cb8207be3d2ce13de3",
            "binding_nonce_commitment": "67e98ab55aa310c3120418e5050c9cf76cf387cb20ac9e4b6fdb6f82a469f932",
            "binding_factor_input": (
                "15d21ccd7ee42959562fc8aa63224c8851fb3ec85a3faf66040d380fb9738673"
                "504df914fa965023fb75c25ded4bb260f417de6d32e5c442c6ba313791cc9a49"
                "48d6273e8d3511f93348ea7a708a9b862bc73ba2a79cfdfe07729a193751cbc9"
                "73af46d8ac3440e518d4ce440a0e7d4ad5f62ca8940f32de6d8dc00fc12c660b"
                "817d587d82f856d277ce6473cae6d2f5763f7da2e8b4d799a3f3e725d4522ec7"
                "0100000000000000000000000000000000000000000000000000000000000000"
            ),
            "binding_factor": "f2cb9d7dd9beff688da6fcc83fa89046b3479417f47f55600b106760eb3b5603",
            "sig_share": "001719ab5a53ee1a12095cd088fd149702c0720ce5fd2f29dbecf24b7281b603",
        },
        3: {
            "hiding_nonce_randomness": "86d64a260059e495d0fb4fcc17ea3da7452391baa494d4b00321098ed2a0062f",
            "binding_nonce_randomness": "13e6b25afb2eba51716a9a7d44130c0dbae0004a9ef8d7b5550c8a0e07c61775",
            "hiding_nonce": "c256de65476204095ebdc01bd11dc10e57b36bc96284595b8215222374f99c0e",
            "binding_nonce": "243d71944d929063bc51205714ae3c2218bd3451d0214dfb5aeec2a90c35180d",
            "hiding_nonce_commitment": "cfbdb165bd8aad6eb79deb8d287bcc0ab6658ae57fdcc98ed12c0669e90aec91",
            "binding_nonce_commitment": "7487bc41a6e712eea2f2af24681b58b1cf1da278ea11fe4e8b78398965f13552",
            "binding_factor_input": (
                "15d21ccd7ee42959562fc8aa63224c8851fb3ec85a3faf66040d380fb9738673"
                "504df914fa965023fb75c25ded4bb260f417de6d32e5c442c6ba313791cc9a49"
                "48d6273e8d3511f93348ea7a708a9b862bc73ba2a79cfdfe07729a193751cbc9"
                "73af46d8ac3440e518d4ce440a0e7d4ad5f62ca8940f32de6d8dc00fc12c660b"
                "817d587d82f856d277ce6473cae6d2f5763f7da2e8b4d799a3f3e725d4522ec7"
                "0300000000000000000000000000000000000000000000000000000000000000"
            ),
            "binding_factor": "b087686bf35a13f3dc78e780a34b0fe8a77fef1b9938c563f5573d71d8d7890f",
            "sig_share": "bd86125de990acc5e1f13781d8e32c03a9bbd4c53539bbc106058bfd14326007",
        },
    },
    "signature": (
        "36282629c383bb820a88b71cae937d41f2f2adfcc3d02e55507e2fb9e2dd3cbe"
        "bd9d2b0844e49ae0f3fa935161e1419aab7b47d21a37ebeae1f17d4987b3160b"
    ),
}

# `shares_received` is keyed by sender.
DKG = {
    "group_key": "3d9a67b93cec3acad2d32349cf7bdffaa23ae031a81174ddadae1c96bb455f4d",
    "governors": {
        1: {
            "signing_key": "fc36bff380c95d607cd78080f493dd382df50f7007ec1b150b9bfbd8041fd208",
            "coefficient": "2d2c3e2b558e555b1608838e0ded66cd36d8aaa9ed1e39ce8474855d0825b20e",
            "commitments": [
                "db67948a73033b0c886ed757d97352428df05ad5803aff256bc388c9a0772bfe",
                "6a25b55a80a287826fbc3ef4d978d15f98f4f573f4d96e798a970780c644f14c",
            ],
            "proof": (
                "64c41c1d0417aef33576c23a5150de2921d6249d7086b10012f942405fc08ed5"
                "1a872dd021db2ac01e9f4182e950324c5f563421bd835f3f514a60c975cab70c"
            ),
            "shares_received": {
                2: "ebb85acf4d46173f519a8680eac89f567d3f4a568843b741b251cc2f3d112b05",
                3: "f088e2c4b3a7f81836968c642721031ed8828d2e3d532fecaa85c481e445000c",
            },
            "verifying_share": "f6b5e87c902796d8dab6369cbd6d342a32e46c136e9f1f5af2fc385aed804de3",
            "signing_share": "2afd4ef9a27f9e636dd627ae56772951b98f929ebaa13b11ede611e82e9baf08",
        },
        2: {
            "signing_key": "2b76dcb99b75fbada4ffdc213b1ae4ec7c1b2a5da25d9ea85741a3ab376ca307",
            "coefficient": "ad167472cc332ee98237a1018ea89a7e002420f9e5e518995a10298405a5870d",
            "commitments": [
                "17194e192408980956a9cfc388d38456b2e9619c42a57196facd7feaf980a3bd",
                "0b560ce2f1130dc7066fc47f6e3f1858ef553faf6bbc19d3cd2a502052f95ae5",
            ],
            "proof": (
                "4062dc7fc11144e636f4eddd7f2d8d3e02761671ae913674314a12b91f50bf98"
                "e9c410d651c45c3a1766c88524fccb7670de191e12686324c59333e74fc93402"
            ),
            "shares_received": {
                1: "7ce74f90f61fe466fcad9757527aeda99aa565c3e2298eb11484069415693606",
                3: "7fde55b354d5d8dddc940fe932de5d1a6110b9bc4edeba2db7b32c34074d3a0a",
            },
            "verifying_share": "f326b756ed38b43a94bdac698e044d9e3f3a08a40e7c9d2e5346dd5bfaadf2f5",
            "signing_share": "b9ed88cb30a9ddbc00dbdf7c40d6c76f791989cf9f3119bad899287c5f6c2303",
        },
        3: {
            "signing_key": "61336fd6127a18548f9709e01b64a8214ff561a02bc8a3aa9e575ccfc13ec60d",
            "coefficient": "7c29694bbb90f21c7d9b7a27eab63911898d2b8e118b8b410c2e68b222073a0e",
            "commitments": [
                "0e9c22b9edbcd06757eee5ba3cfeb74e4fa6470932aa1ab689c86f1fe3dde70c",
                "0ae6e3e6ff1d612adb5cabb425ee51f2be9952467ce9b6d83095322909a42dd7",
            ],
            "proof": (
                "37df5a836ceaaf9f5e3b9ae6a485bad5c15788f3883386fe43f2921bbe2cb987"
                "d23683ca18973065a00d69bbf74f7961889b820e64f98878df7844a4e4785907"
            ),
            "shares_received": {
                1: "bc3f985e314b276a3c192343816d7562d17d106dd048c77f99f88bf11d8ee804",
                2: "6b3e57fab1e74e61aacfd93d4926172a7e878a48540fe97367721e38485b3a00",
            },
            "verifying_share": "6bc91a2755902d955ce220ad0df6fbf57162260949d40bcf5a69cfffec9c085a",
            "signing_share": "35b2b8fad8352f6e6a7c8fee082f45a339a37f0085c1f662c44c3f10903d970d",
        },
    },
}
