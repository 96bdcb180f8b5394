//! Bytes that are refused: what is wrong, the statement that says so, and the reason code for the other side.

use simrun::codec::Version::{V3_1_1, V5};
use simrun::codec::*;

use crate::wire::bytes;

/// Version, bytes (`--` is the remaining length, where it is right), fault, statement, reason code.
type Row = (Version, &'static str, Fault, &'static str, u8);

#[rustfmt::skip]
const REFUSED: &[Row] = &[
    // Fixed header
    (V3_1_1, "",                Fault::CutOff, "MQTT-4.8.0-1", 0x81),
    (V3_1_1, "c0",              Fault::CutOff, "MQTT-4.8.0-1", 0x81),
    (V3_1_1, "00 00",           Fault::TypeReserved, "MQTT-4.8.0-1", 0x81),
    (V5,     "00 00",           Fault::TypeReserved, "MQTT-4.13.1-1", 0x81),
    (V3_1_1, "f0 00",           Fault::NotInThisVersion, "MQTT-4.8.0-1", 0x82),
    (V5,     "c0 80 80 80 80",  Fault::RemainingLength, "MQTT-4.13.1-1", 0x81),
    (V5,     "c0 ff ff ff ff 7f", Fault::RemainingLength, "MQTT-4.13.1-1", 0x81),
    (V5,     "c0 80 00",        Fault::VariableNotShortest, "MQTT-1.5.5-1", 0x81),
    (V5,     "c0 01 00",        Fault::TrailingBytes, "MQTT-4.13.1-1", 0x81),
    (V5,     "d0 01 00",        Fault::TrailingBytes, "MQTT-4.13.1-1", 0x81),
    (V5,     "c0 00 00",        Fault::TrailingBytes, "MQTT-4.13.1-1", 0x81),
    (V5,     "c0 01",           Fault::CutOff, "MQTT-4.13.1-1", 0x81),
    (V3_1_1, "c1 00",           Fault::FlagsReserved, "MQTT-2.2.2-2", 0x81),
    (V5,     "d8 00",           Fault::FlagsReserved, "MQTT-2.1.3-1", 0x81),
    (V5,     "14 -- 0004 4d515454 05 02 0000 00 0000", Fault::FlagsReserved, "MQTT-2.1.3-1", 0x81),
    (V5,     "21 03 00 00 00",  Fault::FlagsReserved, "MQTT-2.1.3-1", 0x81),
    (V5,     "42 02 0001",      Fault::FlagsReserved, "MQTT-2.1.3-1", 0x81),
    (V5,     "58 02 0001",      Fault::FlagsReserved, "MQTT-2.1.3-1", 0x81),
    (V3_1_1, "60 02 0001",      Fault::PubRelFlags, "MQTT-3.6.1-1", 0x81),
    (V5,     "63 02 0001",      Fault::PubRelFlags, "MQTT-3.6.1-1", 0x81),
    (V5,     "71 02 0001",      Fault::FlagsReserved, "MQTT-2.1.3-1", 0x81),
    (V3_1_1, "80 06 0001 0001 74 00", Fault::SubscribeFlags, "MQTT-3.8.1-1", 0x81),
    (V5,     "83 07 0001 00 0001 74 00", Fault::SubscribeFlags, "MQTT-3.8.1-1", 0x81),
    (V3_1_1, "a0 05 0001 0001 74", Fault::UnsubscribeFlags, "MQTT-3.10.1-1", 0x81),
    (V5,     "a3 06 0001 00 0001 74", Fault::UnsubscribeFlags, "MQTT-3.10.1-1", 0x81),
    (V3_1_1, "e1 00",           Fault::DisconnectFlags, "MQTT-3.14.1-1", 0x81),
    (V5,     "e1 00",           Fault::DisconnectFlags, "MQTT-3.14.1-1", 0x81),
    (V5,     "f1 00",           Fault::AuthFlags, "MQTT-3.15.1-1", 0x81),
    // Strings
    (V3_1_1, "30 05 0003 eda080", Fault::NotUtf8, "MQTT-1.5.3-1", 0x81),
    (V5,     "30 06 0003 eda080 00", Fault::NotUtf8, "MQTT-1.5.4-1", 0x81),
    (V5,     "30 05 0002 c080 00", Fault::NotUtf8, "MQTT-1.5.4-1", 0x81),
    (V5,     "30 05 0002 e5a4 00", Fault::NotUtf8, "MQTT-1.5.4-1", 0x81),
    (V3_1_1, "30 05 0003 610062", Fault::NullCharacter, "MQTT-1.5.3-2", 0x81),
    (V5,     "30 06 0003 610062 00", Fault::NullCharacter, "MQTT-1.5.4-2", 0x81),
    (V5,     "30 0e 000b 6162636465666768696a00 00", Fault::NullCharacter, "MQTT-1.5.4-2", 0x81),
    // CONNECT
    (V5,     "10 -- 0004 4d515458 05 02 0000 00 0001 61", Fault::ProtocolName, "MQTT-3.1.2-1", 0x84),
    (V3_1_1, "10 -- 0004 4d515454 06 02 0000 0001 61", Fault::ProtocolLevel, "MQTT-3.1.2-2", 0x84),
    (V3_1_1, "10 -- 0004 4d515454 03 02 0000 0001 61", Fault::ProtocolLevel, "MQTT-3.1.2-2", 0x84),
    (V3_1_1, "10 -- 0006 4d5149736470 04 02 0000 0001 61", Fault::ProtocolLevel, "MQTT-3.1.2-2", 0x84),
    (V3_1_1, "10 -- 0004 4d515454 04 03 0000 0001 61", Fault::ConnectFlagReserved, "MQTT-3.1.2-3", 0x81),
    (V5,     "10 -- 0004 4d515454 05 03 0000 00 0001 61", Fault::ConnectFlagReserved, "MQTT-3.1.2-3", 0x81),
    (V3_1_1, "10 -- 0004 4d515454 04 1e 0000 0001 61 0001 74 0001 78", Fault::WillQos3, "MQTT-3.1.2-14", 0x81),
    (V5,     "10 -- 0004 4d515454 05 1e 0000 00 0001 61 00 0001 74 0001 78", Fault::WillQos3, "MQTT-3.1.2-12", 0x81),
    (V3_1_1, "10 -- 0004 4d515454 04 0a 0000 0001 61", Fault::WillQosWithoutWill, "MQTT-3.1.2-13", 0x81),
    (V5,     "10 -- 0004 4d515454 05 0a 0000 00 0001 61", Fault::WillQosWithoutWill, "MQTT-3.1.2-11", 0x81),
    (V3_1_1, "10 -- 0004 4d515454 04 22 0000 0001 61", Fault::WillRetainWithoutWill, "MQTT-3.1.2-15", 0x81),
    (V5,     "10 -- 0004 4d515454 05 22 0000 00 0001 61", Fault::WillRetainWithoutWill, "MQTT-3.1.2-13", 0x81),
    (V3_1_1, "10 -- 0004 4d515454 04 42 0000 0001 61 0001 70", Fault::PasswordWithoutUserName, "MQTT-3.1.2-22", 0x81),
    (V3_1_1, "10 -- 0004 4d515454 04 82 0000 0001 61", Fault::CutOff, "MQTT-4.8.0-1", 0x81),
    (V5,     "10 -- 0004 4d515454 05 42 0000 00 0001 61", Fault::CutOff, "MQTT-4.13.1-1", 0x81),
    (V5,     "10 -- 0004 4d515454 05 06 0000 00 0001 61", Fault::CutOff, "MQTT-4.13.1-1", 0x81),
    (V3_1_1, "10 -- 0004 4d515454 04 02 0000 0001 61 0001 75", Fault::TrailingBytes, "MQTT-4.8.0-1", 0x81),
    (V3_1_1, "10 -- 0004 4d515454 04 02 0000", Fault::CutOff, "MQTT-4.8.0-1", 0x81),
    (V5,     "10 -- 0004 4d515454 05 02 0000", Fault::CutOff, "MQTT-4.13.1-1", 0x81),
    (V3_1_1, "10 -- 0004 4d515454 04 02 0000 0001 ff", Fault::NotUtf8, "MQTT-1.5.3-1", 0x81),
    (V3_1_1, "10 -- 0004 4d515454 04 82 0000 0001 61 0001 ff", Fault::NotUtf8, "MQTT-1.5.3-1", 0x81),
    (V3_1_1, "10 -- 0004 4d515454 04 06 0000 0001 61 0001 ff 0000", Fault::NotUtf8, "MQTT-1.5.3-1", 0x81),
    (V3_1_1, "10 -- 0004 4d515454 04 06 0000 0001 61 0001 23 0000", Fault::WillTopicWildcard, "MQTT-4.7.1-1", 0x90),
    (V5,     "10 -- 0004 4d515454 05 06 0000 00 0001 61 00 0001 2b 0000", Fault::WillTopicWildcard, "MQTT-4.7.0-1", 0x90),
    (V3_1_1, "10 -- 0004 4d515454 04 06 0000 0001 61 0000 0000", Fault::TopicEmpty, "MQTT-4.7.3-1", 0x90),
    // CONNECT, properties
    (V5, "10 -- 0004 4d515454 05 02 0000 03 210000 0001 61", Fault::PropertyValue, "MQTT-4.13.1-1", 0x82),
    (V5, "10 -- 0004 4d515454 05 02 0000 05 2700000000 0001 61", Fault::PropertyValue, "MQTT-4.13.1-1", 0x82),
    (V5, "10 -- 0004 4d515454 05 02 0000 02 1702 0001 61", Fault::PropertyValue, "MQTT-4.13.1-1", 0x82),
    (V5, "10 -- 0004 4d515454 05 02 0000 02 1902 0001 61", Fault::PropertyValue, "MQTT-4.13.1-1", 0x82),
    (V5, "10 -- 0004 4d515454 05 02 0000 04 17001700 0001 61", Fault::PropertyRepeated, "MQTT-4.13.1-1", 0x82),
    (V5, "10 -- 0004 4d515454 05 02 0000 04 16000161 0001 61", Fault::AuthDataWithoutMethod, "MQTT-4.13.1-1", 0x82),
    (V5, "10 -- 0004 4d515454 05 02 0000 05 1800000001 0001 61", Fault::PropertyMisplaced, "MQTT-4.13.1-1", 0x82),
    (V5, "10 -- 0004 4d515454 05 02 0000 01 00 0001 61", Fault::PropertyUnknown, "MQTT-4.13.1-1", 0x81),
    (V5, "10 -- 0004 4d515454 05 02 0000 01 7f 0001 61", Fault::PropertyUnknown, "MQTT-4.13.1-1", 0x81),
    (V5, "10 -- 0004 4d515454 05 02 0000 02 2100 0001 61", Fault::CutOff, "MQTT-4.13.1-1", 0x81),
    (V5, "10 -- 0004 4d515454 05 02 0000 7f 0001 61", Fault::CutOff, "MQTT-4.13.1-1", 0x81),
    (V5, "10 -- 0004 4d515454 05 02 0000 8000 0001 61", Fault::VariableNotShortest, "MQTT-1.5.5-1", 0x81),
    (V5, "10 -- 0004 4d515454 05 06 0000 00 0001 61 05 1100000000 0001 74 0000", Fault::PropertyMisplaced, "MQTT-4.13.1-1", 0x82),
    (V5, "10 -- 0004 4d515454 05 02 0000 07 260001ff000161 0001 61", Fault::NotUtf8, "MQTT-1.5.4-1", 0x81),
    (V5, "10 -- 0004 4d515454 05 02 0000 07 26000161000100 0001 61", Fault::NullCharacter, "MQTT-1.5.4-2", 0x81),
    // CONNACK
    (V3_1_1, "20 02 02 00",     Fault::ConnAckFlagsReserved, "MQTT-4.8.0-1", 0x81),
    (V5,     "20 03 80 00 00",  Fault::ConnAckFlagsReserved, "MQTT-3.2.2-1", 0x81),
    (V3_1_1, "20 02 00 06",     Fault::ConnAckCode, "MQTT-4.8.0-1", 0x81),
    (V5,     "20 03 00 01 00",  Fault::ConnAckCode, "MQTT-3.2.2-8", 0x81),
    (V5,     "20 03 00 8e 00",  Fault::ConnAckCode, "MQTT-3.2.2-8", 0x81),
    (V3_1_1, "20 02 01 05",     Fault::SessionPresentWithError, "MQTT-3.2.2-4", 0x82),
    (V5,     "20 03 01 87 00",  Fault::SessionPresentWithError, "MQTT-3.2.2-6", 0x82),
    (V5,     "20 02 00 00",     Fault::CutOff, "MQTT-4.13.1-1", 0x81),
    (V3_1_1, "20 03 00 00 00",  Fault::TrailingBytes, "MQTT-4.8.0-1", 0x81),
    (V5,     "20 05 00 00 02 2402", Fault::PropertyValue, "MQTT-4.13.1-1", 0x82),
    (V5,     "20 05 00 00 02 2502", Fault::PropertyValue, "MQTT-4.13.1-1", 0x82),
    (V5,     "20 05 00 00 02 2aff", Fault::PropertyValue, "MQTT-4.13.1-1", 0x82),
    // PUBLISH
    (V3_1_1, "36 05 0001 74 0001", Fault::Qos3, "MQTT-3.3.1-4", 0x81),
    (V5,     "36 06 0001 74 0001 00", Fault::Qos3, "MQTT-3.3.1-4", 0x81),
    (V3_1_1, "38 03 0001 74",   Fault::DupAtQos0, "MQTT-3.3.1-2", 0x81),
    (V5,     "38 04 0001 74 00", Fault::DupAtQos0, "MQTT-3.3.1-2", 0x81),
    (V3_1_1, "32 05 0001 74 0000", Fault::PacketIdentifierZero, "MQTT-2.3.1-1", 0x82),
    (V5,     "34 06 0001 74 0000 00", Fault::PacketIdentifierZero, "MQTT-2.2.1-3", 0x82),
    (V3_1_1, "32 03 0001 74",   Fault::CutOff, "MQTT-4.8.0-1", 0x81),
    (V3_1_1, "30 03 0002 74",   Fault::CutOff, "MQTT-4.8.0-1", 0x81),
    (V3_1_1, "30 01 00",        Fault::CutOff, "MQTT-4.8.0-1", 0x81),
    (V3_1_1, "30 05 0003 612f2b", Fault::TopicWildcard, "MQTT-3.3.2-2", 0x90),
    (V5,     "30 06 0003 612f23 00", Fault::TopicWildcard, "MQTT-3.3.2-2", 0x90),
    (V3_1_1, "30 02 0000",      Fault::TopicEmpty, "MQTT-4.7.3-1", 0x90),
    (V5,     "30 03 0000 00",   Fault::TopicMissing, "MQTT-4.13.1-1", 0x82),
    (V5,     "30 03 0001 74",   Fault::CutOff, "MQTT-4.13.1-1", 0x81),
    (V5,     "30 07 0001 74 03 230000", Fault::TopicAliasZero, "MQTT-3.3.2-8", 0x94),
    (V5,     "30 0a 0001 74 06 230001 230001", Fault::PropertyRepeated, "MQTT-4.13.1-1", 0x82),
    (V5,     "30 06 0001 74 02 0102", Fault::PropertyValue, "MQTT-4.13.1-1", 0x82),
    (V5,     "30 06 0001 74 02 0b00", Fault::PropertyValue, "MQTT-4.13.1-1", 0x82),
    (V5,     "30 07 0001 74 03 0b8100", Fault::VariableNotShortest, "MQTT-1.5.5-1", 0x81),
    (V5,     "30 08 0001 74 04 08000123", Fault::ResponseTopicWildcard, "MQTT-3.3.2-14", 0x82),
    (V5,     "30 08 0001 74 04 080001ff", Fault::NotUtf8, "MQTT-1.5.4-1", 0x81),
    (V5,     "30 08 0001 74 04 03000100", Fault::NullCharacter, "MQTT-1.5.4-2", 0x81),
    (V5,     "30 07 0001 74 03 210001", Fault::PropertyMisplaced, "MQTT-4.13.1-1", 0x82),
    // Acks
    (V3_1_1, "40 02 0000",      Fault::PacketIdentifierZero, "MQTT-2.3.1-1", 0x82),
    (V3_1_1, "40 01 00",        Fault::CutOff, "MQTT-4.8.0-1", 0x81),
    (V3_1_1, "40 03 0001 00",   Fault::TrailingBytes, "MQTT-4.8.0-1", 0x81),
    (V5,     "40 03 0001 01",   Fault::PubAckCode, "MQTT-3.4.2-1", 0x81),
    (V5,     "40 03 0001 92",   Fault::PubAckCode, "MQTT-3.4.2-1", 0x81),
    (V5,     "50 03 0001 92",   Fault::PubRecCode, "MQTT-3.5.2-1", 0x81),
    (V5,     "62 03 0001 80",   Fault::PubRelCode, "MQTT-3.6.2-1", 0x81),
    (V5,     "70 03 0001 10",   Fault::PubCompCode, "MQTT-3.7.2-1", 0x81),
    (V5,     "40 05 0001 00 00 00", Fault::TrailingBytes, "MQTT-4.13.1-1", 0x81),
    (V5,     "40 04 0001 00 01", Fault::CutOff, "MQTT-4.13.1-1", 0x81),
    (V5,     "40 06 0001 00 02 0100", Fault::PropertyMisplaced, "MQTT-4.13.1-1", 0x82),
    // SUBSCRIBE, SUBACK
    (V3_1_1, "82 02 0001",      Fault::NoFilters, "MQTT-3.8.3-3", 0x82),
    (V5,     "82 03 0001 00",   Fault::NoFilters, "MQTT-3.8.3-2", 0x82),
    (V3_1_1, "82 06 0000 0001 74 00", Fault::PacketIdentifierZero, "MQTT-2.3.1-1", 0x82),
    (V3_1_1, "82 05 0001 0001 74", Fault::CutOff, "MQTT-4.8.0-1", 0x81),
    (V3_1_1, "82 06 0001 0001 74 03", Fault::SubscriptionQos3, "MQTT-3.8.3-4", 0x81),
    (V3_1_1, "82 06 0001 0001 74 04", Fault::OptionsReserved, "MQTT-3.8.3-4", 0x81),
    (V5,     "82 07 0001 00 0001 74 03", Fault::SubscriptionQos3, "MQTT-4.13.1-1", 0x81),
    (V5,     "82 07 0001 00 0001 74 40", Fault::OptionsReserved, "MQTT-3.8.3-5", 0x81),
    (V5,     "82 07 0001 00 0001 74 80", Fault::OptionsReserved, "MQTT-3.8.3-5", 0x81),
    (V5,     "82 07 0001 00 0001 74 30", Fault::RetainHandling3, "MQTT-4.13.1-1", 0x82),
    (V5,     "82 0f 0001 00 0009 2473686172652f672f 04", Fault::NoLocalShared, "MQTT-3.8.3-4", 0x82),
    (V5,     "82 07 0001 00 0001 ff 00", Fault::NotUtf8, "MQTT-1.5.4-1", 0x81),
    (V5,     "82 09 0001 02 0b00 0001 74 00", Fault::PropertyValue, "MQTT-4.13.1-1", 0x82),
    (V5,     "82 0b 0001 04 0b010b02 0001 74 00", Fault::PropertyRepeated, "MQTT-4.13.1-1", 0x82),
    (V3_1_1, "90 03 0001 03",   Fault::SubAckCode, "MQTT-3.9.3-2", 0x81),
    (V3_1_1, "90 03 0001 87",   Fault::SubAckCode, "MQTT-3.9.3-2", 0x81),
    (V5,     "90 04 0001 00 03", Fault::SubAckCode, "MQTT-3.9.3-2", 0x81),
    (V5,     "90 03 0001 00",   Fault::NoCodes, "MQTT-4.13.1-1", 0x82),
    // UNSUBSCRIBE, UNSUBACK
    (V3_1_1, "a2 02 0001",      Fault::NoFiltersToEnd, "MQTT-3.10.3-2", 0x82),
    (V5,     "a2 03 0001 00",   Fault::NoFiltersToEnd, "MQTT-3.10.3-2", 0x82),
    (V3_1_1, "a2 05 0001 0001 ff", Fault::NotUtf8, "MQTT-1.5.3-1", 0x81),
    (V3_1_1, "b0 03 0001 00",   Fault::TrailingBytes, "MQTT-4.8.0-1", 0x81),
    (V5,     "b0 04 0001 00 01", Fault::UnsubAckCode, "MQTT-3.11.3-2", 0x81),
    // DISCONNECT, AUTH
    (V3_1_1, "e0 01 00",        Fault::TrailingBytes, "MQTT-4.8.0-1", 0x81),
    (V5,     "e0 01 01",        Fault::DisconnectCode, "MQTT-3.14.2-1", 0x81),
    (V5,     "e0 01 84",        Fault::DisconnectCode, "MQTT-3.14.2-1", 0x81),
    (V5,     "f0 02 01 00",     Fault::AuthCode, "MQTT-3.15.2-1", 0x81),
    (V5,     "f0 01 18",        Fault::CutOff, "MQTT-4.13.1-1", 0x81),
    (V5,     "f0 02 18 00",     Fault::AuthMethodMissing, "MQTT-4.13.1-1", 0x82),
    (V5,     "f0 06 18 04 16000161", Fault::AuthDataWithoutMethod, "MQTT-4.13.1-1", 0x82),
];

#[test]
fn each_row_is_refused_for_its_reason() {
    for &(version, hex, fault, statement, code) in REFUSED {
        let malformed = decode(version, &bytes(hex)).expect_err(hex);
        assert_eq!(malformed.fault, fault, "{version}: {hex}");
        assert_eq!(malformed.fault.statement(version), statement, "{version}: {hex}");
        assert_eq!(malformed.reason.code(), code, "{version}: {hex}");
    }
}

#[test]
fn every_fault_has_a_row() {
    for &fault in Fault::ALL {
        // The size is the reader's to see, not the decoder's.
        let seen = fault == Fault::TooLarge || REFUSED.iter().any(|row| row.2 == fault);
        assert!(seen, "no row for {fault:?}");
    }
}

/// Whoever names a statement names one that exists.
#[test]
fn every_fault_names_statements_in_their_form() {
    for &fault in Fault::ALL {
        for version in [V3_1_1, V5] {
            let number = fault.statement(version).strip_prefix("MQTT-").expect("begins with MQTT-");
            assert!(number.split(['.', '-']).all(|part| part.parse::<u8>().is_ok()), "{fault:?}: {number}");
        }
    }
}

/// A packet of every kind, cut off anywhere behind its fixed header or with a byte more, is refused.
#[test]
fn every_cut_and_every_stray_byte_is_refused() {
    let packets = [
        (V3_1_1, "10 16 0004 4d515454 04 c2 0000 0004 6c616d70 0001 75 0001 70"),
        (V3_1_1, "20 02 00 00"),
        (V3_1_1, "40 02 0001"),
        (V3_1_1, "82 06 0001 0001 74 00"),
        (V3_1_1, "a2 05 0001 0001 74"),
        (V3_1_1, "e0 00"),
        (V5, "10 14 0004 4d515454 05 42 003c 00 0004 6c616d70 0001 70"),
        (V5, "20 03 00 00 00"),
        (V5, "40 09 0001 87 05 1f 0002 6e6f"),
        (V5, "82 09 0001 02 0b01 0001 74 00"),
        (V5, "e0 07 8e 05 1f 0002 6e6f"),
        (V5, "f0 06 18 04 15 0001 58"),
    ];
    for (version, hex) in packets {
        let whole = bytes(hex);
        assert!(decode(version, &whole).is_ok(), "{hex}");
        let mut longer = whole.to_vec();
        longer.push(0);
        longer[1] += 1;
        assert!(decode(version, &longer.into()).is_err(), "{hex} and a stray byte");
        // Acks, DISCONNECT and AUTH of 5.0 may end early in places of their own.
        let shorter_forms: &[usize] = match hex.split_at(2).0 {
            "40" if version == V5 => &[4, 5],
            "e0" => &[2, 3],
            "f0" => &[2],
            _ => &[],
        };
        for len in 2..whole.len() {
            let mut shorter = whole[..len].to_vec();
            shorter[1] = u8::try_from(len - 2).unwrap();
            let refused = decode(version, &shorter.into()).is_err();
            assert_eq!(refused, !shorter_forms.contains(&len), "{hex} cut to {len} bytes");
        }
    }
}
