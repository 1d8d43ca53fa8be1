-- SPDX-License-Identifier: Apache-2.0
--
-- The ledger's book-keeping beside the table `accounts`. A transfer is one transaction: both accounts,
-- each with the next version, and the journal entry in the outbox, from where it goes to Kafka. An
-- account's first event has version 0. Only the house may owe.
create sequence if not exists entries;
create table if not exists outbox (id bigint primary key, entry text not null);

create or replace function post(account text, cur text, delta bigint) returns void language sql as $$
    insert into accounts as a (account_id, tenant_id, currency, ledger_minor, pending_minor, version, updated_at)
    values (account, 'tnt_demo', cur, delta, 0, 0, clock_timestamp())
    on conflict (account_id, tenant_id, currency) do update
    set ledger_minor = a.ledger_minor + excluded.ledger_minor, version = a.version + 1, updated_at = excluded.updated_at
$$;

-- The entry's number; null where nothing was moved: nobody gives more than half of what he has.
create or replace function transfer(source text, dest text, cur text, most bigint) returns bigint language plpgsql as $$
declare
    amount bigint := most;
    number bigint;
begin
    if source not like 'house::%' then
        select least(most, ledger_minor / 2) into amount from accounts
        where account_id = source and tenant_id = 'tnt_demo' and currency = cur for update;
    end if;
    if coalesce(amount, 0) < 1 or source = dest then
        return null;
    end if;
    number := nextval('entries');
    perform post(source, cur, -amount);
    perform post(dest, cur, amount);
    insert into outbox values (number, json_build_object(
        'correlationId', 'demo-' || number, 'tenant', 'tnt_demo', 'minor', amount, 'currency', cur,
        'source', source, 'dest', dest, 'entryId', 'entry-' || number)::text);
    return number;
end
$$;
