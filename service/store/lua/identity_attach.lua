-- Gives an identity to an agent or a block, or takes it away; twice is no change.
--
-- ARGV  1 'attach' or 'detach'  2 'agent' or 'block'  3 its id  4 identity
-- Reply {'ok'}  {'missing'} (no such agent or block) {'noidentity'}
-- include: identity_link
local kind, id, identity = ARGV[2], ARGV[3], ARGV[4]
if redis.call('EXISTS', kind == 'agent' and K.agent(id) or K.block(id)) == 0 then return {'missing'} end
if redis.call('EXISTS', K.identity(identity)) == 0 then return {'noidentity'} end
if ARGV[1] == 'attach' then link(kind, id, identity) else unlink(kind, id, identity) end
return {'ok'}
