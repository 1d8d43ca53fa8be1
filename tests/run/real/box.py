# SPDX-License-Identifier: Apache-2.0
"""The box that is printed once everything runs: each part, where it is, how to look into it, stop it, start it."""

WIDTH = 100


def heading(part):
    where = f"{part.address}  pid {part.proc.pid}" if part.address[:1].isdigit() else f"pid {part.proc.pid}  {part.address}"
    return f"   {part.name:<10} {where}"


def box(parts, folder, ports_moved):
    rule = "  " + "=" * WIDTH
    replicas = [p for p in parts if p.name.startswith("replica")]
    lines = ["", rule,
             "   DEMO, INSECURE: whoever opens its page gets a token for every account. Not for real data.",
             rule, "",
             f"   page       {'   '.join(f'http://{p.address}/' for p in replicas)}"]
    for moved in ports_moved:
        lines.append(f"   note       {moved}")
    for part in parts:
        lines += ["", heading(part)]
        for words, command in part.shown:
            lines.append(f"      {words:<14} {command}")
        lines.append(f"      {'log':<14} {part.log}")
    lines += ["", "   watch two accounts:",
              f"      ./dev exec bgw sub msisdn::2348100000001 msisdn::2348100000002 --token-file {folder}/token "
              f"--url ws://{replicas[-1].address}/ws",
              "   from another terminal, for any part:",
              "      ./dev part redis stop      then  ./dev part redis start",
              "      ./dev part kafka pause     then  ./dev part kafka resume",
              "      ./dev part                 how all parts are;  ./dev part ledger log  the end of its log",
              "", f"   Ctrl-C ends all of it; the data in {folder} goes too.", rule, ""]
    return "\n".join(lines)
