/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokens: one good token of each algorithm, and the key set that says so, for fuzz-jwt and fuzz-jwks. They
 * were made once; the private keys are gone, so nobody can make another one. Immutable.
 */
#ifndef BGW_FUZZ_TOKENS_H
#define BGW_FUZZ_TOKENS_H

#define FUZZ_SECRET "a-secret-of-fuzzers-32-bytes-ok!" /* exactly 32 bytes */
#define FUZZ_NOW_S 1800000000 /* the tokens end in 2100 */

enum { FUZZ_HS256, FUZZ_RS256, FUZZ_PS256, FUZZ_ES256, FUZZ_EDDSA, FUZZ_TOKENS };

static const char fuzz_jwks[] =
    "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"alg\":\"RS256\",\"n\":\"qJY8ASVVrCs9-jzT_0_r1G-lehzMr5uy14SF_0B"
    "c4bIP6STdBRo9hVLElpHQ8ta7BqZuxz0HWtGwdi5HKs6OKEXkfhKqKupZyd3vwgn9j3gwdNbCP_0nZKpjt1PP2Vks5"
    "7po_NDdWUzrrGYN1_teEiVGWskjgfZ0m1NDLBeZT525LSfaOvdvJPof7d0jr0bG68_lZtGeENGceYi8Y7-R00bq9Ys"
    "5pcy4uTX7109p2q8BJ1b8ghBDhA4QFZ0aWeSGO0khb4YvCtcaRove7ypsoMjG1TpYVtT2gnuFzOsBJ1e6xoDo9TCfc"
    "p52QNjBaR3b6B4d6ZNNJut3FaOPi968AQ\",\"e\":\"AQAB\"},{\"kty\":\"RSA\",\"kid\":\"p\",\"alg\":\"PS256\",\"n\":\"u"
    "CyZRIc_f10d8s1B_7sS8fexNLgJHpeueyCfEyEqCPdsbSO6uNLhwiGEmP5dUFxfi71Sl2aYXyhPn9zdabBrAH7foML"
    "wrjtrSBfiphzeZhxDQhbEEnxjgjzjJu4gKYk8aFhAna7Ng686T4syPIezf94BBSy6aXcLucjjLJ4YgnGWnaCpKuTeq"
    "Imre97rI4YzmOqU5C8KhG4BL9p7ZF2SKlO1fvKE_3UxDOhLAqD65Dg8A3mbhyoIwEYXBxBzpNORRcYpHUSLxU1pE3d"
    "mPleWB8DZPZM0qbsfxMu8CjG9VOiYN4dvWBr_tjAuvTAQu2SwThY-GNahYDV1pN2NPlQ4rw\",\"e\":\"AQAB\"},{\"kty"
    "\":\"EC\",\"kid\":\"e\",\"alg\":\"ES256\",\"crv\":\"P-256\",\"x\":\"L7yWGqrsd2Xa32QL2J3Fgr25dypQCq64rVtmwTdE"
    "C8o\",\"y\":\"P9cl3IARbqTc1Mo6XXwrkN910SBB7Z3jLhLj_f_JFac\"},{\"kty\":\"OKP\",\"kid\":\"d\",\"alg\":\"EdDS"
    "A\",\"crv\":\"Ed25519\",\"x\":\"8zmdaPrON0X2piNIU-4cJH0RIUR9sViVuQTLpehQtc8\"}]}";

static const char *const fuzz_tokens[FUZZ_TOKENS] = {
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDAsInNjb3BlIjoiYWNjb3VudHMucmVhZ"
    "CIsImFjY291bnRzIjpbIkEiLCJCIl19.POeWzgZbABaazy5Z3tivrjF1907Y_PapgbF4cn1uXXE",
    "eyJhbGciOiJSUzI1NiIsImtpZCI6InIifQ.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDAsInNjb3BlIjoiYWN"
    "jb3VudHMucmVhZCIsImFjY291bnRzIjpbIkEiLCJCIl19.API4gmMbnFcFTPBG2JceXagh1c4AEchA67KVpJOE5yra"
    "VRw2to0gQoOlI2y14NvLQ5KC3juxPmlpeFI3Ct31AfyqpFqecxuu480P70IHMG1nJyx8rYNb2f08z2bXp3lXhEiinP"
    "t-H3BenEkYW4tEuEgh4vZgISlkBU7LYJPIscIXneUUJjzFjmKIeCZC1RhZ7O_sbEOUYcpj0G8Aq4T6S8fv92R8_XlB"
    "leSWkR-rhImYEQWvKg7-0CFOAvxKaHP8vRYEoSJT6CO-fEmv_LCl3XLLDG9AYLs_8eQTi0Pwzo-6jJKpsegfLGS37n"
    "E-9LId6rNt9YVQmuQmWwXvPa0C5g",
    "eyJhbGciOiJQUzI1NiIsImtpZCI6InAifQ.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDAsInNjb3BlIjoiYWN"
    "jb3VudHMucmVhZCIsImFjY291bnRzIjpbIkEiLCJCIl19.bijeyBP0QJ9OCxpQt0abRWyAJClc7qHGlT85RWBOVYpM"
    "pOJHVFAOg502FI3h3_k2krd5hnFkrQ75sje8_5xMlMg5DroQTCuIcKhRi1lBl0_EJp0PvV-lWBp2lMhIMO92bhrdak"
    "mVXykPtAqMRiKXuIOjOWOB7Kz_PZh9tvwUbJh9ysXx3byO-8-P6QE0RR6OK3LjMUH-VlpKwdUO_2GjPaU_sOeRw_GP"
    "VkllbLxSvzkdmFvK7BEEDST02Oku-zPl7LEYVpUmC8oYFBxqLKSjvWwrMqwRKbR3Sa30w3pZrXoQ4uEC2gMghgoRNA"
    "Ra8EEsF8vPUJ9tUP8BSKQup2209Q",
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImUifQ.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDAsInNjb3BlIjoiYWN"
    "jb3VudHMucmVhZCIsImFjY291bnRzIjpbIkEiLCJCIl19.ou6fGZEsmFg8GCF7xwM45wBwelOi2li7wquFCuva7uxJ"
    "jkVdaTdaGWf7gNRbLBsmXKS54QUqlcmmcU54C3OTEQ",
    "eyJhbGciOiJFZERTQSIsImtpZCI6ImQifQ.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDAsInNjb3BlIjoiYWN"
    "jb3VudHMucmVhZCIsImFjY291bnRzIjpbIkEiLCJCIl19.g30_wgZ6ucDZb35iY_xxSo2pGfcur7_wVKzrRbRFo4YG"
    "2JpAdeL2PA8rOj58SAg7s8smwX9TwbU22Xiw4dAnDg",
};

#endif
