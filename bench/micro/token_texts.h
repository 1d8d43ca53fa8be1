/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token_texts: one token of each kind and the keys that check them. The private halves of the pairs were thrown
 * away; nothing trusts these. All three say the same, as of MICRO_WALL_MS and for an hour: the claims of a customer
 * with three accounts.
 */
#ifndef BGW_MICRO_TOKEN_TEXTS_H
#define BGW_MICRO_TOKEN_TEXTS_H

#define HS256_SECRET "an-example-secret-of-32-bytes-ok!"

static const char hs256_token[] =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiYXVkIjoiYmFsYW5jZS1"
    "nYXRld2F5Iiwic3ViIjoiY3VzdG9tZXItMDAwMDE3IiwianRpIjoiN2YzYzBhNTItMTlkMS00YzBlLTlhMzQtNWI2ZjFkMmU4YzA"
    "xIiwiaWF0IjoxNzkzMDAwMDAwLCJleHAiOjE3OTMwMDM2MDAsInNjb3BlIjoiYWNjb3VudHMucmVhZCIsInRlbmFudCI6InRudF9"
    "kZW1vIiwiYWNjb3VudHMiOlsiYWNjXzAwMDAwMDE3IiwiYWNjXzAwMDAwMDE4IiwiYWNjXzAwMDAwMDE5Il19.oG1fMLVtGnk48X"
    "VIly_jInm5eaSRDCp3d-r2QAJqvgY";

static const char es256_token[] =
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiYXVkIjoiYmFsYW5jZS1"
    "nYXRld2F5Iiwic3ViIjoiY3VzdG9tZXItMDAwMDE3IiwianRpIjoiN2YzYzBhNTItMTlkMS00YzBlLTlhMzQtNWI2ZjFkMmU4YzA"
    "xIiwiaWF0IjoxNzkzMDAwMDAwLCJleHAiOjE3OTMwMDM2MDAsInNjb3BlIjoiYWNjb3VudHMucmVhZCIsInRlbmFudCI6InRudF9"
    "kZW1vIiwiYWNjb3VudHMiOlsiYWNjXzAwMDAwMDE3IiwiYWNjXzAwMDAwMDE4IiwiYWNjXzAwMDAwMDE5Il19.TkFmKOGC-3XMMa"
    "7A3cjPz1F-yFMA_EoNB9QPzok2ZFCoEZNHvmxdFr8AEXjbB9_OhuhbqGKnnAXv8zNiHjwHWQ";

static const char rs256_token[] =
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiYXVkIjoiYmFsYW5jZS1"
    "nYXRld2F5Iiwic3ViIjoiY3VzdG9tZXItMDAwMDE3IiwianRpIjoiN2YzYzBhNTItMTlkMS00YzBlLTlhMzQtNWI2ZjFkMmU4YzA"
    "xIiwiaWF0IjoxNzkzMDAwMDAwLCJleHAiOjE3OTMwMDM2MDAsInNjb3BlIjoiYWNjb3VudHMucmVhZCIsInRlbmFudCI6InRudF9"
    "kZW1vIiwiYWNjb3VudHMiOlsiYWNjXzAwMDAwMDE3IiwiYWNjXzAwMDAwMDE4IiwiYWNjXzAwMDAwMDE5Il19.uiDXK7jHL09AA_"
    "0HjNgiHsYshrbXYCrgj8rNJYYE3D84EkdtXPGjZO5mdm73m9JRUIM0Ms_noIX2mY3RghgtuMakg_qF7oKBl9cNvICHuiwHUSYg1O"
    "jvrrSJJ1sIDpRfo0Hws9fIHeyqyquyxEmpeymR3xAIZsgVmjVz89ylQ_XO3V1BMEitGDNyDIBVO9cpAmDh5tzWfi15GFsQm_cFyc"
    "ATRswa5amt9Opevpp0xZSv2SpC08qPODuNmrJCW6mC76qf7K1ufnsAKZvTQcNXnUV14vBgOrDd9g3ucbj-lfbwmGpHzU32ENFe2F"
    "nY_kSQE62QFLyGOvGe4KB81Np8Tw";

static const char es256_key[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQtpnnMQyh3dHtWpqlgo1TJDJCoqN\n"
    "dPliMTfli13mRVXTuZHLoWZix6SsOJSJTpr8C45mJ3AP4/z4p8jBBtvfZA==\n"
    "-----END PUBLIC KEY-----\n";

static const char rs256_key[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA2JtLeGxG2TMX5H5ZXsRt\n"
    "5dy3z1RAav5sBQPcShLO+Yd1Gv+Zh1sKjv/xFqlGHTdsO45WXrTW0/csz7fO0zGJ\n"
    "kvLLX/XqNbY0osIR8PCagEclyZrODTxo0ZsNzxVLyHitsJPkRUuGnSJnKcvx/ZN+\n"
    "iz17b1F7HEQyDJKCBI4jH+U+oe2Fk1Nb7vFEndUt2J+luuh84WL4fknnpllamxcu\n"
    "msQBCS5qjeURBTTAPrfcAdfAY17Tl7nnhllgtq/1CUdEW8S/+W8J5q7s4yT7rY57\n"
    "ivDahuGDA/siPTK0bRQEKf0lrcs1oW4fI5Nc420SPA7iUbr0B7EHUDc+jhKrqkGw\n"
    "MQIDAQAB\n"
    "-----END PUBLIC KEY-----\n";

#endif
